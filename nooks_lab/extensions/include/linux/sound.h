#ifndef _LINUX_SOUND_H
#define _LINUX_SOUND_H

#include <linux/fs.h>

/* The lower four bits of the minor number say what a sound device is. */
#define SND_DEV_CTL 0		/* /dev/mixer */
#define SND_DEV_SEQ 1
#define SND_DEV_MIDIN 2
#define SND_DEV_DSP 3		/* /dev/dsp */
#define SND_DEV_AUDIO 4		/* /dev/audio: the same device */
#define SND_DEV_DSP16 5		/* /dev/dspW: the same device, at first with samples of 16 bits */
#define SND_DEV_STATUS 6

/* The result is the minor number, or an error; dev asks for the dev-th of its kind, -1 for any. */
extern int register_sound_special(struct file_operations *fops, int unit);
extern int register_sound_mixer(struct file_operations *fops, int dev);
extern int register_sound_dsp(struct file_operations *fops, int dev);

extern void unregister_sound_special(int unit);
extern void unregister_sound_mixer(int unit);
extern void unregister_sound_dsp(int unit);

#endif
