/*
 * Registers and commands of the Sound Blaster 16, from Creative's "Sound
 * Blaster Series Hardware Programming Guide"; names follow its chapters.
 */
#ifndef _SB_HW_H
#define _SB_HW_H

/* Ports, from the base address. */
#define SB_MIXER_ADDR 0x4
#define SB_MIXER_DATA 0x5
#define SB_DSP_RESET 0x6
#define SB_DSP_READ 0xa
#define SB_DSP_WRITE 0xc	/* read: bit 7 is set while the DSP takes nothing */
#define SB_DSP_STATUS 0xe	/* bit 7: there is something to read; a read acknowledges 8-bit interrupts */
#define SB_DSP_ACK_16 0xf	/* a read acknowledges 16-bit interrupts */
#define SB_IO_EXTENT 16

#define SB_DSP_BUSY 0x80
#define SB_DSP_DATA 0x80
#define SB_DSP_READY 0xaa

#define SB_MAJOR_SB16 4

/* DSP commands. */
#define SB_CMD_RATE 0x41		/* rate high, rate low */
#define SB_CMD_CONTINUE_8 0x45		/* do not leave 8-bit auto-initialised mode after all */
#define SB_CMD_CONTINUE_16 0x47
#define SB_CMD_PLAY_16_AUTO 0xb6	/* mode, length low, length high */
#define SB_CMD_PLAY_8_AUTO 0xc6
#define SB_CMD_HALT_8 0xd0
#define SB_CMD_SPEAKER_ON 0xd1
#define SB_CMD_SPEAKER_OFF 0xd3
#define SB_CMD_HALT_16 0xd5
#define SB_CMD_EXIT_16 0xd9		/* leave auto-initialised mode with the end of this block */
#define SB_CMD_EXIT_8 0xda
#define SB_CMD_VERSION 0xe1

#define SB_MODE_SIGNED 0x10
#define SB_MODE_STEREO 0x20

#define SB_MIN_RATE 5000
#define SB_MAX_RATE 44100

/* Mixer registers. */
#define SB_MIX_RESET 0x00
#define SB_MIX_MASTER 0x30		/* left; right is the next one, as of all pairs */
#define SB_MIX_VOICE 0x32
#define SB_MIX_MIDI 0x34
#define SB_MIX_CD 0x36
#define SB_MIX_LINE 0x38
#define SB_MIX_MIC 0x3a
#define SB_MIX_SPEAKER 0x3b
#define SB_MIX_TREBLE 0x44
#define SB_MIX_BASS 0x46
#define SB_MIX_IRQ 0x80
#define SB_MIX_DMA 0x81
#define SB_MIX_IRQ_STATUS 0x82

#define SB_IRQ_8 0x01
#define SB_IRQ_16 0x02

#endif
