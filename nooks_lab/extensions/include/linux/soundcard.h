#ifndef _LINUX_SOUNDCARD_H
#define _LINUX_SOUNDCARD_H

/* What programs and drivers say to each other through /dev/dsp and /dev/mixer: the OSS interface, version 3.8. */
#include <asm/ioctl.h>

#define SOUND_VERSION 0x030802
#define OSS_GETVERSION _IOR('M', 118, int)

#define SNDCTL_DSP_RESET _IO('P', 0)
#define SNDCTL_DSP_SYNC _IO('P', 1)
#define SNDCTL_DSP_SPEED _IOWR('P', 2, int)
#define SNDCTL_DSP_STEREO _IOWR('P', 3, int)
#define SNDCTL_DSP_GETBLKSIZE _IOWR('P', 4, int)
#define SNDCTL_DSP_SETFMT _IOWR('P', 5, int)
#define SNDCTL_DSP_CHANNELS _IOWR('P', 6, int)
#define SNDCTL_DSP_POST _IO('P', 8)
#define SNDCTL_DSP_SUBDIVIDE _IOWR('P', 9, int)
#define SNDCTL_DSP_SETFRAGMENT _IOWR('P', 10, int)
#define SNDCTL_DSP_GETFMTS _IOR('P', 11, int)
#define SNDCTL_DSP_GETOSPACE _IOR('P', 12, audio_buf_info)
#define SNDCTL_DSP_NONBLOCK _IO('P', 14)
#define SNDCTL_DSP_GETCAPS _IOR('P', 15, int)
#define SNDCTL_DSP_GETOPTR _IOR('P', 18, count_info)
#define SNDCTL_DSP_GETODELAY _IOR('P', 23, int)

#define DSP_CAP_REALTIME 0x00000200
#define DSP_CAP_TRIGGER 0x00001000

#define AFMT_QUERY 0x00000000
#define AFMT_U8 0x00000008
#define AFMT_S16_LE 0x00000010
#define AFMT_S16_BE 0x00000020
#define AFMT_S8 0x00000040
#define AFMT_U16_LE 0x00000080

typedef struct audio_buf_info {
	int fragments;	/* that can be written without blocking */
	int fragstotal;
	int fragsize;	/* bytes */
	int bytes;	/* that can be written without blocking */
} audio_buf_info;

typedef struct count_info {
	int bytes;	/* played since the device was opened */
	int blocks;	/* fragments since the last time this was asked */
	int ptr;	/* where in the buffer the device is */
} count_info;

#define SOUND_MIXER_NRDEVICES 25
#define SOUND_MIXER_VOLUME 0
#define SOUND_MIXER_BASS 1
#define SOUND_MIXER_TREBLE 2
#define SOUND_MIXER_SYNTH 3
#define SOUND_MIXER_PCM 4
#define SOUND_MIXER_SPEAKER 5
#define SOUND_MIXER_LINE 6
#define SOUND_MIXER_MIC 7
#define SOUND_MIXER_CD 8
#define SOUND_MIXER_ALTPCM 10
#define SOUND_MIXER_VIDEO 23

#define SOUND_MIXER_RECSRC 0xff
#define SOUND_MIXER_DEVMASK 0xfe
#define SOUND_MIXER_RECMASK 0xfd
#define SOUND_MIXER_CAPS 0xfc
#define SOUND_MIXER_STEREODEVS 0xfb

/* Left volume in bits 7-0, right one in bits 15-8, each 0 to 100. */
#define MIXER_READ(dev) _IOR('M', (dev), int)
#define MIXER_WRITE(dev) _IOWR('M', (dev), int)

#define SOUND_MIXER_READ_VOLUME MIXER_READ(SOUND_MIXER_VOLUME)
#define SOUND_MIXER_READ_PCM MIXER_READ(SOUND_MIXER_PCM)
#define SOUND_MIXER_READ_DEVMASK MIXER_READ(SOUND_MIXER_DEVMASK)
#define SOUND_MIXER_READ_STEREODEVS MIXER_READ(SOUND_MIXER_STEREODEVS)
#define SOUND_MIXER_WRITE_VOLUME MIXER_WRITE(SOUND_MIXER_VOLUME)
#define SOUND_MIXER_WRITE_PCM MIXER_WRITE(SOUND_MIXER_PCM)

typedef struct mixer_info {
	char id[16];
	char name[32];
	int modify_counter;
	int fillers[10];
} mixer_info;

#define SOUND_MIXER_INFO _IOR('M', 101, mixer_info)

#endif
