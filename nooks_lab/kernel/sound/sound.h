/*
 * The sound core's own data: what sound drivers do not see in their headers.
 */
#ifndef _SOUND_SOUND_H
#define _SOUND_SOUND_H

#include <linux/sound.h>
#include <linux/soundcard.h>
#include <asm/dma.h>

/* Minor numbers of a kind of device are this far apart: /dev/dsp is 3, /dev/dsp1 is 19. */
#define SOUND_STEP 16

/* A chain for each kind, in the order of the minor numbers. */
struct sound_unit {
	int unit_minor;
	struct file_operations *unit_fops;
	struct sound_unit *next;
	char name[32];
};

extern struct sound_unit *sound_chains[SOUND_STEP];
extern struct file_operations soundcore_fops;
extern const char soundcore_name[];

extern int soundcore_open(struct inode *inode, struct file *file);

struct dma_chan {
	int lock;
	const char *device_id;
};

extern struct dma_chan dma_chan_busy[MAX_DMA_CHANNELS];

#endif
