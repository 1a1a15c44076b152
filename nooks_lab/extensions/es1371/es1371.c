/*
 * Ensoniq AudioPCI 97 (ES1371): DAC2 as /dev/dsp, and the codec as
 * /dev/mixer.
 *
 * DAC2 runs round a buffer in memory (the frame, in the chip's words) and
 * interrupts each time that its sample count is through: once a fragment.
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/slab.h>
#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/sound.h>
#include <linux/soundcard.h>
#include <linux/wait.h>
#include <asm/io.h>
#include <asm/uaccess.h>

#include "es1371_hw.h"

#define DRV_NAME "es1371"
#define DRV_VERSION "1.0"

#define ES_BUFFER_SIZE 32768
#define ES_BUFFER_SHIFT 15

#define ES_MIN_FRAGSHIFT 6
#define ES_DEFAULT_FRAGMENTS_PER_SECOND 20
#define ES_MIN_FRAGMENTS 2

#define ES_DEFAULT_RATE 8000

/* Each poll is a port access and a microsecond; a codec access takes 21 us. */
#define ES_POLLS 1000

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("Ensoniq AudioPCI 97 (ES1371) driver");
MODULE_LICENSE("GPL");

static int joystick;

MODULE_PARM(joystick, "i");
MODULE_PARM_DESC(joystick, "Address of the joystick port (0x200, 0x208, 0x210 or 0x218), 0 for none");

struct es1371_state {
	struct pci_dev *pdev;
	unsigned long io;
	unsigned int irq;
	int dev_dsp;
	int dev_mixer;
	struct es1371_state *next;

	/* Guards the registers, whose copies are here, and the ring. */
	spinlock_t lock;
	u32 ctrl;
	u32 sctrl;

	wait_queue_head_t open_wait;
	int open;

	unsigned int rate;
	unsigned int channels;
	int fmt;
	int modcnt;

	/* Bytes [swptr - count, swptr) of the ring wait to be played. */
	struct dmabuf {
		unsigned char *rawbuf;
		dma_addr_t dmaaddr;
		unsigned int fragshift;
		unsigned int fragsize;
		unsigned int numfrag;
		unsigned int dmasize;
		unsigned int hwptr;
		unsigned int swptr;
		int count;
		unsigned int total_bytes;
		unsigned int blocks;
		unsigned int underruns;
		unsigned int ossfragshift;
		unsigned int ossmaxfrags;
		unsigned int subdivision;
		unsigned char ready;
		unsigned char running;
		unsigned char ending;	/* DAC2 stops when this count is through */
		wait_queue_head_t wait;
	} dma_dac2;
};

static struct es1371_state *es1371_devs;

/* --- Sample rate converter --- */

static u32 es1371_wait_src(struct es1371_state *s)
{
	u32 value;
	int i;

	for (i = 0; i < ES_POLLS; i++) {
		value = inl(s->io + ES_REG_SRCONV);
		if (!(value & SRC_BUSY))
			return value;
		udelay(1);
	}
	printk(KERN_WARNING DRV_NAME ": the sample rate converter stays busy\n");
	return value;
}

static u16 es1371_src_read(struct es1371_state *s, unsigned int reg)
{
	u32 value = es1371_wait_src(s) & SRC_DIS_MASK;

	outl(value | SRC_RAM_ADDR(reg), s->io + ES_REG_SRCONV);
	return es1371_wait_src(s) & SRC_DATA_MASK;
}

static void es1371_src_write(struct es1371_state *s, unsigned int reg, u16 data)
{
	u32 value = es1371_wait_src(s) & SRC_DIS_MASK;

	outl(value | SRC_RAM_ADDR(reg) | SRC_WE | data, s->io + ES_REG_SRCONV);
}

/* The pitch is a fixed-point number, 15 bits behind the point; 1.0 is a sixteenth of the codec's 48 kHz. */
static void es1371_set_dac2_rate(struct es1371_state *s, unsigned int rate)
{
	unsigned int freq = ((rate << 15) + 1500) / 3000;
	u32 value;

	value = es1371_wait_src(s) & SRC_DIS_MASK;
	outl(value | SRC_DIS_DAC2, s->io + ES_REG_SRCONV);
	es1371_src_write(s, SRCREG_DAC2 + SRCREG_INT_REGS,
			 (es1371_src_read(s, SRCREG_DAC2 + SRCREG_INT_REGS) & 0x00ff) | ((freq >> 5) & 0xfc00));
	es1371_src_write(s, SRCREG_DAC2 + SRCREG_VFREQ_FRAC, freq & 0x7fff);
	value = es1371_wait_src(s) & SRC_DIS_MASK;
	outl(value & ~SRC_DIS_DAC2, s->io + ES_REG_SRCONV);
}

static void es1371_init_src(struct es1371_state *s)
{
	unsigned int reg;

	es1371_wait_src(s);
	outl(SRC_DISABLE, s->io + ES_REG_SRCONV);
	for (reg = 0; reg < SRC_RAM_WORDS; reg++)
		es1371_src_write(s, reg, 0);
	es1371_src_write(s, SRCREG_DAC1 + SRCREG_TRUNC_N, 16 << 4);
	es1371_src_write(s, SRCREG_DAC1 + SRCREG_INT_REGS, 16 << 10);
	es1371_src_write(s, SRCREG_DAC2 + SRCREG_TRUNC_N, 16 << 4);
	es1371_src_write(s, SRCREG_DAC2 + SRCREG_INT_REGS, 16 << 10);
	es1371_src_write(s, SRCREG_VOL_ADC, 1 << 12);
	es1371_src_write(s, SRCREG_VOL_ADC + 1, 1 << 12);
	es1371_src_write(s, SRCREG_VOL_DAC1, 1 << 12);
	es1371_src_write(s, SRCREG_VOL_DAC1 + 1, 1 << 12);
	es1371_src_write(s, SRCREG_VOL_DAC2, 1 << 12);
	es1371_src_write(s, SRCREG_VOL_DAC2 + 1, 1 << 12);
	es1371_set_dac2_rate(s, ES_DEFAULT_RATE);
	es1371_wait_src(s);
	outl(0, s->io + ES_REG_SRCONV);
}

/* --- Codec --- */

static int es1371_wait_codec(struct es1371_state *s, u32 mask, u32 wanted)
{
	int i;

	for (i = 0; i < ES_POLLS; i++) {
		if ((inl(s->io + ES_REG_CODEC) & mask) == wanted)
			return 0;
		udelay(1);
	}
	printk(KERN_WARNING DRV_NAME ": the codec does not answer\n");
	return -EIO;
}

static int es1371_wrcodec(struct es1371_state *s, u8 reg, u16 data)
{
	unsigned long flags;
	int err;

	spin_lock_irqsave(&s->lock, flags);
	err = es1371_wait_codec(s, CODEC_WIP, 0);
	if (!err)
		outl(CODEC_ADDR(reg) | data, s->io + ES_REG_CODEC);
	spin_unlock_irqrestore(&s->lock, flags);
	return err;
}

static int es1371_rdcodec(struct es1371_state *s, u8 reg)
{
	unsigned long flags;
	int result;

	spin_lock_irqsave(&s->lock, flags);
	result = es1371_wait_codec(s, CODEC_WIP, 0);
	if (!result) {
		outl(CODEC_READ | CODEC_ADDR(reg), s->io + ES_REG_CODEC);
		result = es1371_wait_codec(s, CODEC_RDY | CODEC_WIP, CODEC_RDY);
		if (!result)
			result = inl(s->io + ES_REG_CODEC) & CODEC_DATA_MASK;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	return result;
}

static int es1371_init_codec(struct es1371_state *s)
{
	int value, i;

	/* A warm reset of the AC-link, then one of the codec's registers. */
	outl(s->ctrl | CTRL_SYNC_RES, s->io + ES_REG_CONTROL);
	udelay(2);
	outl(s->ctrl, s->io + ES_REG_CONTROL);
	udelay(750);
	if (es1371_wrcodec(s, AC97_RESET, 0))
		return -EIO;
	for (i = 0; i < ES_POLLS; i++) {
		value = es1371_rdcodec(s, AC97_POWERDOWN);
		if (value < 0)
			return value;
		if ((value & AC97_READY) == AC97_READY)
			break;
		udelay(10);
	}
	if (i == ES_POLLS)
		return -EIO;
	/* Everything is mute after a reset. */
	es1371_wrcodec(s, AC97_MASTER, 0x0000);
	es1371_wrcodec(s, AC97_PCM, 0x0808);
	return 0;
}

/* --- Mixer --- */

struct es1371_control {
	u8 reg;		/* 0: there is no such control */
	u8 stereo;
};

static const struct es1371_control es1371_controls[SOUND_MIXER_NRDEVICES] = {
	[SOUND_MIXER_VOLUME] = { AC97_MASTER, 1 },
	[SOUND_MIXER_PCM] = { AC97_PCM, 1 },
	[SOUND_MIXER_LINE] = { AC97_LINE, 1 },
	[SOUND_MIXER_MIC] = { AC97_MIC, 0 },
	[SOUND_MIXER_CD] = { AC97_CD, 1 },
	[SOUND_MIXER_VIDEO] = { AC97_VIDEO, 1 },
	[SOUND_MIXER_ALTPCM] = { AC97_AUX, 1 },
};

/* The codec counts attenuation, 0 to 31 steps; programs count loudness, 0 to 100. */
static unsigned int es1371_percent(unsigned int steps)
{
	return ((31 - (steps & 31)) * 100 + 15) / 31;
}

static unsigned int es1371_steps(unsigned int percent)
{
	if (percent > 100)
		percent = 100;
	return 31 - (percent * 31 + 50) / 100;
}

static int es1371_read_volume(struct es1371_state *s, const struct es1371_control *control)
{
	int value = es1371_rdcodec(s, control->reg);
	unsigned int left, right;

	if (value < 0)
		return value;
	if (value & AC97_MUTE)
		return 0;
	right = es1371_percent(value);
	left = control->stereo ? es1371_percent(value >> 8) : right;
	return left | (right << 8);
}

static int es1371_write_volume(struct es1371_state *s, const struct es1371_control *control, unsigned int value)
{
	unsigned int left = value & 0xff, right = (value >> 8) & 0xff;
	u16 data;

	if (!control->stereo)
		data = es1371_steps(left);
	else
		data = (es1371_steps(left) << 8) | es1371_steps(right);
	if (left == 0 && (right == 0 || !control->stereo))
		data |= AC97_MUTE;
	s->modcnt++;
	return es1371_wrcodec(s, control->reg, data);
}

static int es1371_mixer_mask(int stereo_only)
{
	int i, mask = 0;

	for (i = 0; i < SOUND_MIXER_NRDEVICES; i++)
		if (es1371_controls[i].reg && (!stereo_only || es1371_controls[i].stereo))
			mask |= 1 << i;
	return mask;
}

static int es1371_mixer_info(struct es1371_state *s, void *arg)
{
	mixer_info info;
	int id1 = es1371_rdcodec(s, AC97_VENDOR_ID1), id2 = es1371_rdcodec(s, AC97_VENDOR_ID2);

	if (id1 < 0 || id2 < 0)
		return -EIO;
	memset(&info, 0, sizeof(info));
	strcpy(info.id, "ES1371");
	snprintf(info.name, sizeof(info.name), "Ensoniq AudioPCI, codec %04x%04x", id1, id2);
	info.modify_counter = s->modcnt;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int es1371_mixer_ioctl(struct es1371_state *s, unsigned int cmd, unsigned long arg)
{
	unsigned int nr = _IOC_NR(cmd);
	int value, err;

	if (cmd == OSS_GETVERSION)
		return put_user(SOUND_VERSION, (int *)arg);
	if (cmd == SOUND_MIXER_INFO)
		return es1371_mixer_info(s, (void *)arg);
	if (_IOC_TYPE(cmd) != 'M' || _IOC_SIZE(cmd) != sizeof(int))
		return -EINVAL;

	switch (nr) {
	case SOUND_MIXER_DEVMASK:
		return put_user(es1371_mixer_mask(0), (int *)arg);
	case SOUND_MIXER_STEREODEVS:
		return put_user(es1371_mixer_mask(1), (int *)arg);
	case SOUND_MIXER_RECMASK:
	case SOUND_MIXER_RECSRC:
	case SOUND_MIXER_CAPS:
		return put_user(0, (int *)arg);
	}
	if (nr >= SOUND_MIXER_NRDEVICES || !es1371_controls[nr].reg)
		return -EINVAL;
	if (_IOC_DIR(cmd) & _IOC_WRITE) {
		if (get_user(value, (int *)arg))
			return -EFAULT;
		err = es1371_write_volume(s, &es1371_controls[nr], value);
		if (err)
			return err;
	}
	value = es1371_read_volume(s, &es1371_controls[nr]);
	return value < 0 ? value : put_user(value, (int *)arg);
}

/* --- The ring --- */

static inline unsigned int es1371_frame_bytes(const struct es1371_state *s)
{
	return s->channels << (s->fmt == AFMT_S16_LE);
}

static inline u8 es1371_silence(const struct es1371_state *s)
{
	return s->fmt == AFMT_S16_LE ? 0x00 : 0x80;
}

static void es1371_rewind(struct dmabuf *db)
{
	db->hwptr = db->swptr = 0;
	db->count = 0;
	db->running = 0;
	db->ending = 0;
}

/* Divides the buffer into fragments, as asked for or to about 50 ms each. */
static void es1371_prog_dmabuf(struct es1371_state *s)
{
	struct dmabuf *db = &s->dma_dac2;
	unsigned int wanted = s->rate * es1371_frame_bytes(s) / ES_DEFAULT_FRAGMENTS_PER_SECOND;
	unsigned int shift = db->ossfragshift;

	if (db->subdivision)
		wanted /= db->subdivision;
	if (!shift)
		for (shift = ES_MIN_FRAGSHIFT; (2U << shift) <= wanted; shift++)
			;
	if (shift < ES_MIN_FRAGSHIFT)
		shift = ES_MIN_FRAGSHIFT;
	if (shift > ES_BUFFER_SHIFT - 1)
		shift = ES_BUFFER_SHIFT - 1;
	db->fragshift = shift;
	db->fragsize = 1 << shift;
	db->numfrag = ES_BUFFER_SIZE >> shift;
	if (db->ossmaxfrags >= ES_MIN_FRAGMENTS && db->ossmaxfrags < db->numfrag)
		db->numfrag = db->ossmaxfrags;
	db->dmasize = db->numfrag << shift;
	memset(db->rawbuf, es1371_silence(s), db->dmasize);
	es1371_rewind(db);
	db->ready = 1;
}

static inline int es1371_last_fragment(const struct dmabuf *db)
{
	return db->count <= (int)(db->fragsize - (db->hwptr & (db->fragsize - 1)));
}

/* All that is left lies in the fragment that DAC2 plays now: it shall stop with its end. Lock held. */
static void es1371_end_with_fragment(struct es1371_state *s)
{
	struct dmabuf *db = &s->dma_dac2;
	unsigned int used = db->swptr & (db->fragsize - 1);

	if (used)
		memset(db->rawbuf + db->swptr, es1371_silence(s), db->fragsize - used);
	s->sctrl |= SCTRL_P2_STOP;
	outl(s->sctrl, s->io + ES_REG_SERIAL);
	db->ending = 1;
}

/* Lock held. */
static void es1371_halt(struct es1371_state *s)
{
	s->ctrl &= ~CTRL_DAC2_EN;
	outl(s->ctrl, s->io + ES_REG_CONTROL);
	s->sctrl &= ~(SCTRL_P2_STOP | SCTRL_P2_INT_EN);
	outl(s->sctrl, s->io + ES_REG_SERIAL);
}

/* Lock held. */
static void es1371_start(struct es1371_state *s)
{
	struct dmabuf *db = &s->dma_dac2;
	unsigned int frames = db->fragsize / es1371_frame_bytes(s);

	if (db->running || db->count <= 0)
		return;
	es1371_halt(s);

	outl(ES_PAGE_DAC, s->io + ES_REG_MEMPAGE);
	outl(db->dmaaddr, s->io + ES_REG_DAC2_FRAMEADR);
	outl((db->dmasize >> 2) - 1, s->io + ES_REG_DAC2_FRAMECNT);
	outl(frames - 1, s->io + ES_REG_DAC2_SCOUNT);

	s->sctrl &= ~(SCTRL_P2_INC_MASK | SCTRL_P2_MODE_MASK | SCTRL_P2_PAUSE);
	if (s->fmt == AFMT_S16_LE)
		s->sctrl |= SCTRL_P2_16BIT | SCTRL_P2_END_INC(2);
	else
		s->sctrl |= SCTRL_P2_END_INC(1);
	if (s->channels == 2)
		s->sctrl |= SCTRL_P2_STEREO;
	s->sctrl |= SCTRL_P2_INT_EN;
	outl(s->sctrl, s->io + ES_REG_SERIAL);

	s->ctrl |= CTRL_DAC2_EN;
	outl(s->ctrl, s->io + ES_REG_CONTROL);
	db->running = 1;
	if (es1371_last_fragment(db))
		es1371_end_with_fragment(s);
}

/* How far has the device come? Lock held. */
static void es1371_update_ptr(struct es1371_state *s)
{
	struct dmabuf *db = &s->dma_dac2;
	unsigned int hwptr, diff;

	if (!db->running)
		return;
	outl(ES_PAGE_DAC, s->io + ES_REG_MEMPAGE);
	hwptr = (inl(s->io + ES_REG_DAC2_FRAMECNT) >> 14) & 0x3fffc;
	if (hwptr >= db->dmasize)
		hwptr = 0;
	diff = hwptr >= db->hwptr ? hwptr - db->hwptr : hwptr + db->dmasize - db->hwptr;
	db->blocks += (hwptr >> db->fragshift) != (db->hwptr >> db->fragshift);
	db->hwptr = hwptr;
	db->total_bytes += diff;
	db->count -= diff;
}

static void es1371_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct es1371_state *s = dev_id;
	struct dmabuf *db = &s->dma_dac2;
	u32 status;

	/* The line may be another device's, too. */
	status = inl(s->io + ES_REG_STATUS);
	if (!(status & STAT_INTR) || !(status & STAT_DAC2))
		return;

	spin_lock(&s->lock);
	/* To take the enable bit away for a moment acknowledges the interrupt. */
	outl(s->sctrl & ~SCTRL_P2_INT_EN, s->io + ES_REG_SERIAL);
	outl(s->sctrl, s->io + ES_REG_SERIAL);
	if (db->running) {
		es1371_update_ptr(s);
		if (db->ending) {
			es1371_halt(s);
			es1371_rewind(db);
		} else if (db->count <= 0) {
			/* The device has overtaken the writer. */
			db->underruns++;
			es1371_halt(s);
			es1371_rewind(db);
		} else if (es1371_last_fragment(db)) {
			es1371_end_with_fragment(s);
		}
		wake_up_interruptible(&db->wait);
	}
	spin_unlock(&s->lock);
}

static void es1371_stop(struct es1371_state *s)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	es1371_halt(s);
	es1371_rewind(&s->dma_dac2);
	spin_unlock_irqrestore(&s->lock, flags);
}

/* Jiffies in which the whole ring is played, and a quarter of a second more. */
static long es1371_timeout(const struct es1371_state *s)
{
	return s->dma_dac2.dmasize * HZ / (s->rate * es1371_frame_bytes(s)) + HZ / 4;
}

/* Waits until everything has been played. */
static int es1371_drain(struct es1371_state *s)
{
	struct dmabuf *db = &s->dma_dac2;
	DECLARE_WAITQUEUE(wait, current);
	unsigned long flags;
	int err = 0;

	if (!db->ready)
		return 0;
	spin_lock_irqsave(&s->lock, flags);
	es1371_start(s);
	spin_unlock_irqrestore(&s->lock, flags);

	add_wait_queue(&db->wait, &wait);
	while (!err) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!db->running)
			break;
		if (signal_pending(current)) {
			err = -EINTR;
		} else if (!schedule_timeout(es1371_timeout(s)) && db->running) {
			printk(KERN_WARNING DRV_NAME ": DAC2 does not play to the end\n");
			err = -EIO;
		}
	}
	set_current_state(TASK_RUNNING);
	remove_wait_queue(&db->wait, &wait);
	if (err)
		es1371_stop(s);
	return err;
}

/* --- /dev/dsp --- */

/* How many bytes can be copied to swptr; a full ring is started. */
static int es1371_room(struct es1371_state *s)
{
	struct dmabuf *db = &s->dma_dac2;
	unsigned long flags;
	int room;

	spin_lock_irqsave(&s->lock, flags);
	/* When DAC2 is about to stop, new samples wait for the start behind that. */
	room = db->ending ? 0 : (int)db->dmasize - db->count;
	if (room > (int)(db->dmasize - db->swptr))
		room = db->dmasize - db->swptr;
	if (room <= 0)
		es1371_start(s);
	spin_unlock_irqrestore(&s->lock, flags);
	return room > 0 ? room : 0;
}

static int es1371_wait_for_room(struct es1371_state *s, struct file *file)
{
	struct dmabuf *db = &s->dma_dac2;
	DECLARE_WAITQUEUE(wait, current);
	int room = es1371_room(s);

	if (room)
		return room;
	add_wait_queue(&db->wait, &wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		room = es1371_room(s);
		if (room)
			break;
		if (file->f_flags & O_NONBLOCK) {
			room = -EAGAIN;
			break;
		}
		if (signal_pending(current)) {
			room = -EINTR;
			break;
		}
		if (!schedule_timeout(es1371_timeout(s))) {
			printk(KERN_WARNING DRV_NAME ": DAC2 does not play\n");
			es1371_stop(s);
			room = -EIO;
			break;
		}
	}
	set_current_state(TASK_RUNNING);
	remove_wait_queue(&db->wait, &wait);
	return room;
}

static ssize_t es1371_write(struct file *file, const char *buffer, size_t count, loff_t *ppos)
{
	struct es1371_state *s = file->private_data;
	struct dmabuf *db = &s->dma_dac2;
	unsigned long flags;
	ssize_t done = 0;
	int room;

	if (ppos != &file->f_pos)
		return -ESPIPE;
	if (!db->ready)
		es1371_prog_dmabuf(s);

	while (count > 0) {
		room = es1371_wait_for_room(s, file);
		if (room < 0)
			return done ? done : room;
		if ((size_t)room > count)
			room = count;
		if (copy_from_user(db->rawbuf + db->swptr, buffer, room))
			return done ? done : -EFAULT;

		spin_lock_irqsave(&s->lock, flags);
		db->swptr += room;
		if (db->swptr >= db->dmasize)
			db->swptr = 0;
		db->count += room;
		if (db->count >= (int)(ES_MIN_FRAGMENTS * db->fragsize))
			es1371_start(s);
		spin_unlock_irqrestore(&s->lock, flags);

		count -= room;
		buffer += room;
		done += room;
	}
	return done;
}

static unsigned int es1371_poll(struct file *file, poll_table *wait)
{
	struct es1371_state *s = file->private_data;
	struct dmabuf *db = &s->dma_dac2;
	unsigned long flags;
	unsigned int mask = 0;

	if (!db->ready)
		es1371_prog_dmabuf(s);
	poll_wait(file, &db->wait, wait);
	spin_lock_irqsave(&s->lock, flags);
	es1371_update_ptr(s);
	if (!db->ending && (int)db->dmasize - db->count >= (int)db->fragsize)
		mask = POLLOUT | POLLWRNORM;
	spin_unlock_irqrestore(&s->lock, flags);
	return mask;
}

static int es1371_set_format(struct es1371_state *s, int fmt, unsigned int channels, unsigned int rate)
{
	unsigned long flags;
	int err = es1371_drain(s);

	if (err)
		return err;
	s->fmt = fmt;
	s->channels = channels;
	s->dma_dac2.ready = 0;
	if (rate < ES_MIN_RATE)
		rate = ES_MIN_RATE;
	if (rate > ES_MAX_RATE)
		rate = ES_MAX_RATE;
	if (rate != s->rate) {
		spin_lock_irqsave(&s->lock, flags);
		s->rate = rate;
		es1371_set_dac2_rate(s, rate);
		spin_unlock_irqrestore(&s->lock, flags);
	}
	return 0;
}

static int es1371_get_ospace(struct es1371_state *s, void *arg)
{
	struct dmabuf *db = &s->dma_dac2;
	audio_buf_info info;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	es1371_update_ptr(s);
	info.fragsize = db->fragsize;
	info.fragstotal = db->numfrag;
	info.bytes = db->ending ? 0 : (int)db->dmasize - db->count;
	info.fragments = info.bytes >> db->fragshift;
	spin_unlock_irqrestore(&s->lock, flags);
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int es1371_get_optr(struct es1371_state *s, void *arg)
{
	struct dmabuf *db = &s->dma_dac2;
	count_info info;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	es1371_update_ptr(s);
	info.bytes = db->total_bytes;
	info.blocks = db->blocks;
	info.ptr = db->hwptr;
	db->blocks = 0;
	spin_unlock_irqrestore(&s->lock, flags);
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int es1371_get_odelay(struct es1371_state *s)
{
	unsigned long flags;
	int count;

	spin_lock_irqsave(&s->lock, flags);
	es1371_update_ptr(s);
	count = s->dma_dac2.count;
	spin_unlock_irqrestore(&s->lock, flags);
	return count > 0 ? count : 0;
}

static int es1371_set_fragment(struct es1371_state *s, unsigned int value)
{
	struct dmabuf *db = &s->dma_dac2;

	if (db->running || db->count)
		return -EINVAL;
	db->ossfragshift = value & 0xffff;
	db->ossmaxfrags = value >> 16;
	db->ready = 0;
	return 0;
}

/* Smaller fragments than the driver chooses, for who did not ask for a size. */
static int es1371_subdivide(struct dmabuf *db, int value)
{
	if (db->ossfragshift || db->subdivision || db->running || db->count)
		return -EINVAL;
	if (value != 1 && value != 2 && value != 4)
		return -EINVAL;
	db->subdivision = value;
	db->ready = 0;
	return 0;
}

/* The ioctls whose argument is an int that goes in and comes back. */
static int es1371_set_ioctl(struct es1371_state *s, unsigned int cmd, unsigned long arg)
{
	int value, err = 0;

	if (get_user(value, (int *)arg))
		return -EFAULT;
	switch (cmd) {
	case SNDCTL_DSP_SPEED:
		if (value >= 0)
			err = es1371_set_format(s, s->fmt, s->channels, value);
		value = s->rate;
		break;
	case SNDCTL_DSP_STEREO:
		err = es1371_set_format(s, s->fmt, value ? 2 : 1, s->rate);
		value = s->channels == 2;
		break;
	case SNDCTL_DSP_CHANNELS:
		if (value > 0)
			err = es1371_set_format(s, s->fmt, value >= 2 ? 2 : 1, s->rate);
		value = s->channels;
		break;
	case SNDCTL_DSP_SETFMT:
		if (value != AFMT_QUERY)
			err = es1371_set_format(s, value == AFMT_S16_LE ? AFMT_S16_LE : AFMT_U8, s->channels,
						s->rate);
		value = s->fmt;
		break;
	case SNDCTL_DSP_SETFRAGMENT:
		err = es1371_set_fragment(s, value);
		break;
	case SNDCTL_DSP_SUBDIVIDE:
		err = es1371_subdivide(&s->dma_dac2, value);
		break;
	}
	return err ? err : put_user(value, (int *)arg);
}

static int es1371_ioctl(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg)
{
	struct es1371_state *s = file->private_data;
	unsigned long flags;

	if (_IOC_TYPE(cmd) == 'M' && cmd != OSS_GETVERSION)
		return es1371_mixer_ioctl(s, cmd, arg);
	if (!s->dma_dac2.ready)
		es1371_prog_dmabuf(s);

	switch (cmd) {
	case OSS_GETVERSION:
		return put_user(SOUND_VERSION, (int *)arg);
	case SNDCTL_DSP_RESET:
		es1371_stop(s);
		s->dma_dac2.total_bytes = s->dma_dac2.blocks = 0;
		return 0;
	case SNDCTL_DSP_SYNC:
		return es1371_drain(s);
	case SNDCTL_DSP_POST:
		spin_lock_irqsave(&s->lock, flags);
		es1371_start(s);
		spin_unlock_irqrestore(&s->lock, flags);
		return 0;
	case SNDCTL_DSP_SPEED:
	case SNDCTL_DSP_STEREO:
	case SNDCTL_DSP_CHANNELS:
	case SNDCTL_DSP_SETFMT:
	case SNDCTL_DSP_SETFRAGMENT:
	case SNDCTL_DSP_SUBDIVIDE:
		return es1371_set_ioctl(s, cmd, arg);
	case SNDCTL_DSP_GETBLKSIZE:
		return put_user(s->dma_dac2.fragsize, (int *)arg);
	case SNDCTL_DSP_GETFMTS:
		return put_user(AFMT_U8 | AFMT_S16_LE, (int *)arg);
	case SNDCTL_DSP_GETCAPS:
		return put_user(DSP_CAP_REALTIME, (int *)arg);
	case SNDCTL_DSP_GETOSPACE:
		return es1371_get_ospace(s, (void *)arg);
	case SNDCTL_DSP_GETOPTR:
		return es1371_get_optr(s, (void *)arg);
	case SNDCTL_DSP_GETODELAY:
		return put_user(es1371_get_odelay(s), (int *)arg);
	case SNDCTL_DSP_NONBLOCK:
		file->f_flags |= O_NONBLOCK;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Finds the device that was registered under a file's minor number. */
static struct es1371_state *es1371_find(struct inode *inode, int mixer)
{
	unsigned int minor = MINOR(inode->i_rdev);
	struct es1371_state *s;

	for (s = es1371_devs; s; s = s->next)
		if (mixer ? s->dev_mixer == minor : (unsigned int)s->dev_dsp >> 4 == minor >> 4)
			return s;
	return NULL;
}

static int es1371_open(struct inode *inode, struct file *file)
{
	struct es1371_state *s = es1371_find(inode, 0);
	unsigned long flags;

	if (!s)
		return -ENODEV;
	/* Recording is not done. */
	if (file->f_mode & FMODE_READ)
		return -EINVAL;
	while (s->open) {
		if (file->f_flags & O_NONBLOCK)
			return -EBUSY;
		interruptible_sleep_on(&s->open_wait);
		if (signal_pending(current))
			return -EINTR;
	}
	s->open = 1;
	file->private_data = s;
	/* /dev/dsp starts with 8 kHz, 8 bits, mono, for whoever says nothing else, /dev/dspW with 16 bits. */
	s->fmt = (MINOR(inode->i_rdev) & 0x0f) == SND_DEV_DSP16 ? AFMT_S16_LE : AFMT_U8;
	s->channels = 1;
	s->rate = ES_DEFAULT_RATE;
	spin_lock_irqsave(&s->lock, flags);
	es1371_set_dac2_rate(s, s->rate);
	spin_unlock_irqrestore(&s->lock, flags);
	s->dma_dac2.ready = 0;
	s->dma_dac2.ossfragshift = s->dma_dac2.ossmaxfrags = s->dma_dac2.subdivision = 0;
	s->dma_dac2.total_bytes = s->dma_dac2.blocks = 0;
	return 0;
}

static int es1371_release(struct inode *inode, struct file *file)
{
	struct es1371_state *s = file->private_data;

	if (file->f_flags & O_NONBLOCK)
		es1371_stop(s);
	else
		es1371_drain(s);
	file->private_data = NULL;
	s->open = 0;
	wake_up(&s->open_wait);
	return 0;
}

static struct file_operations es1371_audio_fops = {
	.owner = THIS_MODULE,
	.write = es1371_write,
	.poll = es1371_poll,
	.ioctl = es1371_ioctl,
	.open = es1371_open,
	.release = es1371_release,
};

static int es1371_open_mixer(struct inode *inode, struct file *file)
{
	file->private_data = es1371_find(inode, 1);
	return file->private_data ? 0 : -ENODEV;
}

static int es1371_release_mixer(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static int es1371_ioctl_mixer(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg)
{
	return es1371_mixer_ioctl(file->private_data, cmd, arg);
}

static struct file_operations es1371_mixer_fops = {
	.owner = THIS_MODULE,
	.ioctl = es1371_ioctl_mixer,
	.open = es1371_open_mixer,
	.release = es1371_release_mixer,
};

/* --- Probe and remove --- */

static u32 __devinit es1371_joystick(void)
{
	if (!joystick)
		return 0;
	if (joystick < 0x200 || joystick > 0x218 || (joystick & 7)) {
		printk(KERN_WARNING DRV_NAME ": there is no joystick port at 0x%x\n", joystick);
		return 0;
	}
	return CTRL_JYSTK_EN | CTRL_JOY_ADDRESS(joystick);
}

/* Brings the chip into a known state, whatever a driver before us has left it in. */
static int __devinit es1371_init_chip(struct es1371_state *s)
{
	s->ctrl = es1371_joystick();
	s->sctrl = 0;
	outl(s->ctrl, s->io + ES_REG_CONTROL);
	outl(s->sctrl, s->io + ES_REG_SERIAL);
	es1371_init_src(s);
	return es1371_init_codec(s);
}

static int __devinit es1371_register(struct es1371_state *s)
{
	s->dev_dsp = register_sound_dsp(&es1371_audio_fops, -1);
	if (s->dev_dsp < 0)
		return s->dev_dsp;
	s->dev_mixer = register_sound_mixer(&es1371_mixer_fops, -1);
	if (s->dev_mixer < 0) {
		unregister_sound_dsp(s->dev_dsp);
		return s->dev_mixer;
	}
	return 0;
}

static int __devinit es1371_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct es1371_state *s;
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	if (!(pci_resource_flags(pdev, 0) & IORESOURCE_IO) || pdev->irq == 0) {
		printk(KERN_ERR DRV_NAME ": %s has no ports or no interrupt\n", pdev->slot_name);
		err = -ENODEV;
		goto err_enable;
	}
	err = pci_set_dma_mask(pdev, 0xffffffff);
	if (err)
		goto err_enable;

	s = kmalloc(sizeof(*s), GFP_KERNEL);
	if (!s) {
		err = -ENOMEM;
		goto err_enable;
	}
	memset(s, 0, sizeof(*s));
	s->pdev = pdev;
	s->io = pci_resource_start(pdev, 0);
	s->irq = pdev->irq;
	s->fmt = AFMT_U8;
	s->channels = 1;
	s->rate = ES_DEFAULT_RATE;
	spin_lock_init(&s->lock);
	init_waitqueue_head(&s->open_wait);
	init_waitqueue_head(&s->dma_dac2.wait);

	err = pci_request_regions(pdev, DRV_NAME);
	if (err) {
		printk(KERN_ERR DRV_NAME ": ports 0x%lx are taken\n", s->io);
		goto err_regions;
	}
	s->dma_dac2.rawbuf = pci_alloc_consistent(pdev, ES_BUFFER_SIZE, &s->dma_dac2.dmaaddr);
	if (!s->dma_dac2.rawbuf) {
		err = -ENOMEM;
		goto err_buffer;
	}
	/* Stop whatever plays before it may reach memory. */
	err = es1371_init_chip(s);
	if (err) {
		printk(KERN_ERR DRV_NAME ": the codec of %s does not come up\n", pdev->slot_name);
		goto err_chip;
	}
	pci_set_master(pdev);
	err = request_irq(s->irq, es1371_interrupt, SA_SHIRQ, DRV_NAME, s);
	if (err) {
		printk(KERN_ERR DRV_NAME ": IRQ %u is taken\n", s->irq);
		goto err_chip;
	}
	err = es1371_register(s);
	if (err)
		goto err_register;

	s->next = es1371_devs;
	es1371_devs = s;
	pci_set_drvdata(pdev, s);
	printk(KERN_INFO DRV_NAME ": Ensoniq AudioPCI 97 at 0x%lx, IRQ %u\n", s->io, s->irq);
	return 0;

err_register:
	free_irq(s->irq, s);
err_chip:
	pci_free_consistent(pdev, ES_BUFFER_SIZE, s->dma_dac2.rawbuf, s->dma_dac2.dmaaddr);
err_buffer:
	pci_release_regions(pdev);
err_regions:
	kfree(s);
err_enable:
	pci_disable_device(pdev);
	return err;
}

static void __devexit es1371_remove(struct pci_dev *pdev)
{
	struct es1371_state *s = pci_get_drvdata(pdev), **link;

	for (link = &es1371_devs; *link; link = &(*link)->next) {
		if (*link == s) {
			*link = s->next;
			break;
		}
	}
	unregister_sound_mixer(s->dev_mixer);
	unregister_sound_dsp(s->dev_dsp);
	es1371_stop(s);
	free_irq(s->irq, s);
	pci_free_consistent(pdev, ES_BUFFER_SIZE, s->dma_dac2.rawbuf, s->dma_dac2.dmaaddr);
	pci_release_regions(pdev);
	pci_set_drvdata(pdev, NULL);
	kfree(s);
	pci_disable_device(pdev);
}

static const struct pci_device_id es1371_pci_tbl[] = {
	{ PCI_VENDOR_ID_ENSONIQ, PCI_DEVICE_ID_ENSONIQ_ES1371, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

MODULE_DEVICE_TABLE(pci, es1371_pci_tbl);

static struct pci_driver es1371_driver = {
	.name = DRV_NAME,
	.id_table = es1371_pci_tbl,
	.probe = es1371_probe,
	.remove = __devexit_p(es1371_remove),
};

static int __init init_es1371(void)
{
	return pci_module_init(&es1371_driver);
}

static void __exit cleanup_es1371(void)
{
	pci_unregister_driver(&es1371_driver);
}

module_init(init_es1371);
module_exit(cleanup_es1371);
