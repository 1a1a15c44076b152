/*
 * Registers of the Ensoniq AudioPCI 97, from its specification, and those of
 * its AC '97 codec, from Intel's.
 */
#ifndef _ES1371_HW_H
#define _ES1371_HW_H

/* Ports, from BAR 0. */
#define ES_REG_CONTROL 0x00
#define ES_REG_STATUS 0x04
#define ES_REG_MEMPAGE 0x0c
#define ES_REG_SRCONV 0x10
#define ES_REG_CODEC 0x14
#define ES_REG_SERIAL 0x20
#define ES_REG_DAC2_SCOUNT 0x28
/* On memory page ES_PAGE_DAC. */
#define ES_REG_DAC2_FRAMEADR 0x38
#define ES_REG_DAC2_FRAMECNT 0x3c

#define ES_PAGE_DAC 0x0c

#define CTRL_JOY_ADDRESS(a) ((((a) - 0x200) / 8) << 24)
#define CTRL_SYNC_RES 0x00004000
#define CTRL_DAC2_EN 0x00000020
#define CTRL_JYSTK_EN 0x00000004

#define STAT_INTR 0x80000000
#define STAT_DAC2 0x00000002

#define SRC_RAM_ADDR(a) ((u32)(a) << 25)
#define SRC_WE 0x01000000
#define SRC_BUSY 0x00800000
#define SRC_DISABLE 0x00400000
#define SRC_DIS_DAC1 0x00200000
#define SRC_DIS_DAC2 0x00100000
#define SRC_DIS_ADC 0x00080000
#define SRC_DIS_MASK (SRC_DISABLE | SRC_DIS_DAC1 | SRC_DIS_DAC2 | SRC_DIS_ADC)
#define SRC_DATA_MASK 0x0000ffff
#define SRC_RAM_WORDS 128

/* The converter's RAM: four words for each channel, and a pair of volumes. */
#define SRCREG_DAC1 0x70
#define SRCREG_DAC2 0x74
#define SRCREG_ADC 0x78
#define SRCREG_VOL_ADC 0x6c
#define SRCREG_VOL_DAC1 0x7c
#define SRCREG_VOL_DAC2 0x7e
#define SRCREG_TRUNC_N 0
#define SRCREG_INT_REGS 1
#define SRCREG_ACCUM_FRAC 2
#define SRCREG_VFREQ_FRAC 3

#define CODEC_RDY 0x80000000
#define CODEC_WIP 0x40000000
#define CODEC_READ 0x00800000
#define CODEC_ADDR(a) ((u32)(a) << 16)
#define CODEC_DATA_MASK 0x0000ffff

#define SCTRL_P2_END_INC(n) ((n) << 19)
#define SCTRL_P2_INC_MASK 0x003f0000
#define SCTRL_P2_STOP 0x00004000	/* stop when the sample count is through */
#define SCTRL_P2_PAUSE 0x00001000
#define SCTRL_P2_INT_EN 0x00000200
#define SCTRL_P2_STEREO 0x00000004
#define SCTRL_P2_16BIT 0x00000008
#define SCTRL_P2_MODE_MASK 0x0000000c

#define ES_MIN_RATE 4000
#define ES_MAX_RATE 48000

/* The codec's registers. */
#define AC97_RESET 0x00
#define AC97_MASTER 0x02
#define AC97_MIC 0x0e
#define AC97_LINE 0x10
#define AC97_CD 0x12
#define AC97_VIDEO 0x14
#define AC97_AUX 0x16
#define AC97_PCM 0x18
#define AC97_POWERDOWN 0x26
#define AC97_VENDOR_ID1 0x7c
#define AC97_VENDOR_ID2 0x7e

#define AC97_MUTE 0x8000
#define AC97_READY 0x000f

#endif
