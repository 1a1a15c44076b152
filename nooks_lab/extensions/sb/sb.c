/*
 * Creative Sound Blaster 16: /dev/dsp for output, and /dev/mixer.
 *
 * The DMA buffer is a ring of fragments through which the 8237 runs on its
 * own (auto-initialised mode); the DSP interrupts at the end of each
 * fragment. "The guide" is Creative's Hardware Programming Guide.
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
#include <linux/ioport.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/sound.h>
#include <linux/soundcard.h>
#include <linux/wait.h>
#include <asm/dma.h>
#include <asm/io.h>
#include <asm/uaccess.h>

#include "sb_hw.h"

#define DRV_NAME "sb"
#define DRV_VERSION "1.0"

/* 32 KiB, or less when memory is short; none crosses a boundary of 64 KiB, since blocks of pages are aligned. */
#define SB_BUFFER_ORDER 3
#define SB_BUFFER_MIN_ORDER 1

#define SB_MIN_FRAGSHIFT 6
#define SB_DEFAULT_FRAGMENTS_PER_SECOND 20
#define SB_MIN_FRAGMENTS 2

#define SB_DEFAULT_RATE 8000

/* Polls of a microsecond each; a port access alone takes most of that. */
#define SB_DSP_POLLS 1000
#define SB_RESET_POLLS 200

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("Creative Sound Blaster 16 driver");
MODULE_LICENSE("GPL");

static int io = 0x220;
static int irq = 5;
static int dma = 1;
static int dma16 = 5;

MODULE_PARM(io, "i");
MODULE_PARM_DESC(io, "I/O base (0x220, 0x240, 0x260 or 0x280)");
MODULE_PARM(irq, "i");
MODULE_PARM_DESC(irq, "Interrupt line (5, 7, 9 or 10)");
MODULE_PARM(dma, "i");
MODULE_PARM_DESC(dma, "8-bit DMA channel (0, 1 or 3)");
MODULE_PARM(dma16, "i");
MODULE_PARM_DESC(dma16, "16-bit DMA channel (5, 6 or 7)");

/*
 * Bytes [swptr - count, swptr) of the ring wait to be played. While nothing
 * runs, both pointers start from 0 again, since a transfer starts there.
 */
struct sb_dmabuf {
	unsigned char *rawbuf;
	unsigned int order;
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
	/* As SNDCTL_DSP_SETFRAGMENT or SNDCTL_DSP_SUBDIVIDE has asked; 0 is the driver's choice. */
	unsigned int ossfragshift;
	unsigned int ossmaxfrags;
	unsigned int subdivision;
	unsigned char ready;
	unsigned char running;
	unsigned char ending;	/* the DSP was told to stop with the end of this block */
};

struct sb_card {
	int io;
	int irq;
	int dma8;
	int dma16;
	int version;
	int dev_dsp;
	int dev_mixer;

	/* Guards the DSP, the mixer's two ports and the ring. */
	spinlock_t lock;
	struct sb_dmabuf dac;
	wait_queue_head_t wait;		/* for room in the ring, and for its end */
	wait_queue_head_t open_wait;
	int open;

	unsigned int rate;
	unsigned int channels;
	int fmt;
	int modcnt;
};

static struct sb_card *sb_card;

/* --- DSP --- */

static int sb_dsp_command(struct sb_card *card, u8 value)
{
	int i;

	for (i = 0; i < SB_DSP_POLLS; i++) {
		if (!(inb(card->io + SB_DSP_WRITE) & SB_DSP_BUSY)) {
			outb(value, card->io + SB_DSP_WRITE);
			return 0;
		}
		udelay(1);
	}
	printk(KERN_WARNING DRV_NAME ": the DSP does not take command %02x\n", value);
	return -EIO;
}

static int sb_dsp_get_byte(struct sb_card *card, int polls)
{
	int i;

	for (i = 0; i < polls; i++) {
		if (inb(card->io + SB_DSP_STATUS) & SB_DSP_DATA)
			return inb(card->io + SB_DSP_READ);
		udelay(1);
	}
	return -EIO;
}

/* The reset bit stays set for 3 us at least; then the DSP answers within 100 us (the guide, chapter 2). */
static int sb_dsp_reset(struct sb_card *card)
{
	outb(1, card->io + SB_DSP_RESET);
	udelay(10);
	outb(0, card->io + SB_DSP_RESET);
	udelay(30);
	if (sb_dsp_get_byte(card, SB_RESET_POLLS) != SB_DSP_READY)
		return -ENODEV;
	return 0;
}

static int sb_dsp_get_version(struct sb_card *card)
{
	int major, minor, err;

	err = sb_dsp_command(card, SB_CMD_VERSION);
	if (err)
		return err;
	major = sb_dsp_get_byte(card, SB_DSP_POLLS);
	if (major < 0)
		return major;
	minor = sb_dsp_get_byte(card, SB_DSP_POLLS);
	if (minor < 0)
		return minor;
	return (major << 8) | minor;
}

/* --- Mixer --- */

static u8 sb_getmixer(struct sb_card *card, u8 reg)
{
	unsigned long flags;
	u8 value;

	spin_lock_irqsave(&card->lock, flags);
	outb(reg, card->io + SB_MIXER_ADDR);
	value = inb(card->io + SB_MIXER_DATA);
	spin_unlock_irqrestore(&card->lock, flags);
	return value;
}

static void sb_setmixer(struct sb_card *card, u8 reg, u8 value)
{
	unsigned long flags;

	spin_lock_irqsave(&card->lock, flags);
	outb(reg, card->io + SB_MIXER_ADDR);
	outb(value, card->io + SB_MIXER_DATA);
	spin_unlock_irqrestore(&card->lock, flags);
}

struct sb_control {
	u8 reg;		/* 0: there is no such control */
	u8 bits;	/* that it has, from bit 7 down */
	u8 stereo;
};

static const struct sb_control sb_controls[SOUND_MIXER_NRDEVICES] = {
	[SOUND_MIXER_VOLUME] = { SB_MIX_MASTER, 5, 1 },
	[SOUND_MIXER_BASS] = { SB_MIX_BASS, 4, 1 },
	[SOUND_MIXER_TREBLE] = { SB_MIX_TREBLE, 4, 1 },
	[SOUND_MIXER_SYNTH] = { SB_MIX_MIDI, 5, 1 },
	[SOUND_MIXER_PCM] = { SB_MIX_VOICE, 5, 1 },
	[SOUND_MIXER_SPEAKER] = { SB_MIX_SPEAKER, 2, 0 },
	[SOUND_MIXER_LINE] = { SB_MIX_LINE, 5, 1 },
	[SOUND_MIXER_MIC] = { SB_MIX_MIC, 5, 0 },
	[SOUND_MIXER_CD] = { SB_MIX_CD, 5, 1 },
};

static unsigned int sb_percent(const struct sb_control *control, u8 value)
{
	unsigned int most = (1 << control->bits) - 1;

	return ((value >> (8 - control->bits)) * 100 + most / 2) / most;
}

static u8 sb_level(const struct sb_control *control, unsigned int percent)
{
	unsigned int most = (1 << control->bits) - 1;

	if (percent > 100)
		percent = 100;
	return ((percent * most + 50) / 100) << (8 - control->bits);
}

static int sb_read_volume(struct sb_card *card, const struct sb_control *control)
{
	unsigned int left = sb_percent(control, sb_getmixer(card, control->reg));
	unsigned int right = left;

	if (control->stereo)
		right = sb_percent(control, sb_getmixer(card, control->reg + 1));
	return left | (right << 8);
}

static void sb_write_volume(struct sb_card *card, const struct sb_control *control, unsigned int value)
{
	sb_setmixer(card, control->reg, sb_level(control, value & 0xff));
	if (control->stereo)
		sb_setmixer(card, control->reg + 1, sb_level(control, (value >> 8) & 0xff));
	card->modcnt++;
}

static int sb_mixer_mask(int stereo_only)
{
	int i, mask = 0;

	for (i = 0; i < SOUND_MIXER_NRDEVICES; i++)
		if (sb_controls[i].reg && (!stereo_only || sb_controls[i].stereo))
			mask |= 1 << i;
	return mask;
}

static int sb_mixer_info(struct sb_card *card, void *arg)
{
	mixer_info info;

	memset(&info, 0, sizeof(info));
	strcpy(info.id, "SB16");
	strcpy(info.name, "Sound Blaster 16 (CT1745)");
	info.modify_counter = card->modcnt;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int sb_mixer_ioctl(struct sb_card *card, unsigned int cmd, unsigned long arg)
{
	const struct sb_control *control;
	unsigned int nr = _IOC_NR(cmd);
	int value;

	if (cmd == OSS_GETVERSION)
		return put_user(SOUND_VERSION, (int *)arg);
	if (cmd == SOUND_MIXER_INFO)
		return sb_mixer_info(card, (void *)arg);
	if (_IOC_TYPE(cmd) != 'M' || _IOC_SIZE(cmd) != sizeof(int))
		return -EINVAL;

	switch (nr) {
	case SOUND_MIXER_DEVMASK:
		return put_user(sb_mixer_mask(0), (int *)arg);
	case SOUND_MIXER_STEREODEVS:
		return put_user(sb_mixer_mask(1), (int *)arg);
	case SOUND_MIXER_RECMASK:
	case SOUND_MIXER_RECSRC:
	case SOUND_MIXER_CAPS:
		return put_user(0, (int *)arg);
	}
	if (nr >= SOUND_MIXER_NRDEVICES || !sb_controls[nr].reg)
		return -EINVAL;
	control = &sb_controls[nr];
	if (_IOC_DIR(cmd) & _IOC_WRITE) {
		if (get_user(value, (int *)arg))
			return -EFAULT;
		sb_write_volume(card, control, value);
	}
	return put_user(sb_read_volume(card, control), (int *)arg);
}

static int sb_mixer_file_open(struct inode *inode, struct file *file)
{
	file->private_data = sb_card;
	return 0;
}

static int sb_mixer_file_release(struct inode *inode, struct file *file)
{
	file->private_data = NULL;
	return 0;
}

static int sb_mixer_file_ioctl(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg)
{
	return sb_mixer_ioctl(file->private_data, cmd, arg);
}

static struct file_operations sb_mixer_fops = {
	.owner = THIS_MODULE,
	.ioctl = sb_mixer_file_ioctl,
	.open = sb_mixer_file_open,
	.release = sb_mixer_file_release,
};

/* --- The ring --- */

static inline unsigned int sb_frame_bytes(const struct sb_card *card)
{
	return card->channels << (card->fmt == AFMT_S16_LE);
}

static inline unsigned int sb_bytes_per_second(const struct sb_card *card)
{
	return card->rate * sb_frame_bytes(card);
}

static inline int sb_channel(const struct sb_card *card)
{
	return card->fmt == AFMT_S16_LE ? card->dma16 : card->dma8;
}

static inline u8 sb_silence(const struct sb_card *card)
{
	return card->fmt == AFMT_S16_LE ? 0x00 : 0x80;
}

static int sb_alloc_buffer(struct sb_card *card)
{
	unsigned int order;

	for (order = SB_BUFFER_ORDER; order >= SB_BUFFER_MIN_ORDER; order--) {
		card->dac.rawbuf = (unsigned char *)__get_free_pages(GFP_KERNEL | GFP_DMA, order);
		if (card->dac.rawbuf) {
			card->dac.order = order;
			return 0;
		}
	}
	return -ENOMEM;
}

static void sb_free_buffer(struct sb_card *card)
{
	free_pages((unsigned long)card->dac.rawbuf, card->dac.order);
	card->dac.rawbuf = NULL;
}

static void sb_rewind(struct sb_dmabuf *db)
{
	db->hwptr = db->swptr = 0;
	db->count = 0;
	db->running = 0;
	db->ending = 0;
}

/* Divides the buffer into fragments, as asked for or to about 50 ms each. */
static void sb_prog_dmabuf(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;
	unsigned int bufsize = PAGE_SIZE << db->order;
	unsigned int fragshift = db->ossfragshift;

	if (!fragshift) {
		unsigned int wanted = sb_bytes_per_second(card) / SB_DEFAULT_FRAGMENTS_PER_SECOND;

		if (db->subdivision)
			wanted /= db->subdivision;
		for (fragshift = SB_MIN_FRAGSHIFT; (2U << fragshift) <= wanted; fragshift++)
			;
	}
	if (fragshift < SB_MIN_FRAGSHIFT)
		fragshift = SB_MIN_FRAGSHIFT;
	while (fragshift > SB_MIN_FRAGSHIFT && (bufsize >> fragshift) < SB_MIN_FRAGMENTS)
		fragshift--;
	db->fragshift = fragshift;
	db->fragsize = 1 << fragshift;
	db->numfrag = bufsize >> fragshift;
	if (db->ossmaxfrags >= SB_MIN_FRAGMENTS && db->ossmaxfrags < db->numfrag)
		db->numfrag = db->ossmaxfrags;
	db->dmasize = db->numfrag << fragshift;
	memset(db->rawbuf, sb_silence(card), db->dmasize);
	sb_rewind(db);
	db->ready = 1;
}

/* Does all that is left lie in the block that the DSP plays now? */
static int sb_last_block(const struct sb_dmabuf *db)
{
	return db->count <= (int)(db->fragsize - (db->hwptr & (db->fragsize - 1)));
}

/* The DSP shall stop with the end of this block, and play silence behind the last sample. */
static void sb_end_with_block(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;
	unsigned int used = db->swptr & (db->fragsize - 1);

	if (used)
		memset(db->rawbuf + db->swptr, sb_silence(card), db->fragsize - used);
	sb_dsp_command(card, card->fmt == AFMT_S16_LE ? SB_CMD_EXIT_16 : SB_CMD_EXIT_8);
	db->ending = 1;
}

static void sb_halt(struct sb_card *card)
{
	sb_dsp_command(card, card->fmt == AFMT_S16_LE ? SB_CMD_HALT_16 : SB_CMD_HALT_8);
	disable_dma(sb_channel(card));
}

/* Called with the lock held. */
static int sb_start(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;
	int channel = sb_channel(card);
	unsigned int length = db->fragsize;
	unsigned long flags;
	u8 mode = 0;
	int err;

	if (db->running || db->count <= 0)
		return 0;

	flags = claim_dma_lock();
	disable_dma(channel);
	clear_dma_ff(channel);
	set_dma_mode(channel, DMA_MODE_WRITE | DMA_AUTOINIT);
	set_dma_addr(channel, virt_to_bus(db->rawbuf));
	set_dma_count(channel, db->dmasize);
	enable_dma(channel);
	release_dma_lock(flags);

	/* The DSP counts samples, each channel's for itself. */
	if (card->fmt == AFMT_S16_LE) {
		mode |= SB_MODE_SIGNED;
		length >>= 1;
	}
	if (card->channels == 2)
		mode |= SB_MODE_STEREO;
	length--;

	err = sb_dsp_command(card, SB_CMD_RATE);
	err = err ? err : sb_dsp_command(card, card->rate >> 8);
	err = err ? err : sb_dsp_command(card, card->rate & 0xff);
	err = err ? err : sb_dsp_command(card, card->fmt == AFMT_S16_LE ? SB_CMD_PLAY_16_AUTO : SB_CMD_PLAY_8_AUTO);
	err = err ? err : sb_dsp_command(card, mode);
	err = err ? err : sb_dsp_command(card, length & 0xff);
	err = err ? err : sb_dsp_command(card, length >> 8);
	if (err) {
		disable_dma(channel);
		return err;
	}
	db->running = 1;
	if (sb_last_block(db))
		sb_end_with_block(card);
	return 0;
}

/* How far has the device come? Called with the lock held. */
static void sb_update_ptr(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;
	unsigned long flags;
	unsigned int hwptr, diff;

	if (!db->running)
		return;
	flags = claim_dma_lock();
	clear_dma_ff(sb_channel(card));
	hwptr = db->dmasize - get_dma_residue(sb_channel(card));
	release_dma_lock(flags);

	if (hwptr >= db->dmasize)
		hwptr = 0;
	diff = hwptr >= db->hwptr ? hwptr - db->hwptr : hwptr + db->dmasize - db->hwptr;
	db->blocks += (hwptr >> db->fragshift) != (db->hwptr >> db->fragshift);
	db->hwptr = hwptr;
	db->total_bytes += diff;
	db->count -= diff;
}

/* A block is done. Called with the lock held. */
static void sb_block_done(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;

	if (!db->running)
		return;
	sb_update_ptr(card);
	if (db->ending) {
		/* The DSP has stopped by itself. */
		disable_dma(sb_channel(card));
		sb_rewind(db);
	} else if (db->count <= 0) {
		/* We came so late that the device has overtaken the writer. */
		db->underruns++;
		sb_halt(card);
		sb_rewind(db);
	} else if (sb_last_block(db)) {
		sb_end_with_block(card);
	}
	wake_up_interruptible(&card->wait);
}

static void sb_interrupt(int irq_line, void *dev_id, struct pt_regs *regs)
{
	struct sb_card *card = dev_id;
	u8 status;

	spin_lock(&card->lock);
	outb(SB_MIX_IRQ_STATUS, card->io + SB_MIXER_ADDR);
	status = inb(card->io + SB_MIXER_DATA);
	if (status & SB_IRQ_8)
		inb(card->io + SB_DSP_STATUS);
	if (status & SB_IRQ_16)
		inb(card->io + SB_DSP_ACK_16);
	if (status & (SB_IRQ_8 | SB_IRQ_16))
		sb_block_done(card);
	spin_unlock(&card->lock);
}

static void sb_stop(struct sb_card *card)
{
	unsigned long flags;

	spin_lock_irqsave(&card->lock, flags);
	if (card->dac.running)
		sb_halt(card);
	sb_rewind(&card->dac);
	spin_unlock_irqrestore(&card->lock, flags);
}

/* Jiffies in which the device plays so many bytes, and a quarter of a second more. */
static long sb_timeout(const struct sb_card *card, unsigned int bytes)
{
	return bytes * HZ / sb_bytes_per_second(card) + HZ / 4;
}

/* Waits until everything has been played. */
static int sb_drain(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;
	DECLARE_WAITQUEUE(wait, current);
	unsigned long flags;
	int err = 0;

	if (!db->ready)
		return 0;
	spin_lock_irqsave(&card->lock, flags);
	err = sb_start(card);
	spin_unlock_irqrestore(&card->lock, flags);

	add_wait_queue(&card->wait, &wait);
	while (!err) {
		set_current_state(TASK_INTERRUPTIBLE);
		if (!db->running)
			break;
		if (signal_pending(current)) {
			err = -EINTR;
		} else if (!schedule_timeout(sb_timeout(card, db->dmasize)) && db->running) {
			printk(KERN_WARNING DRV_NAME ": the device does not play to the end\n");
			err = -EIO;
		}
	}
	set_current_state(TASK_RUNNING);
	remove_wait_queue(&card->wait, &wait);
	if (err)
		sb_stop(card);
	return err;
}

/* --- /dev/dsp --- */

/* How many bytes can be copied to swptr; a full ring is started, which may be an error. */
static int sb_room(struct sb_card *card)
{
	struct sb_dmabuf *db = &card->dac;
	unsigned long flags;
	int room;

	spin_lock_irqsave(&card->lock, flags);
	/* When the DSP is about to stop, new samples wait for the start behind that. */
	room = db->ending ? 0 : (int)db->dmasize - db->count;
	if (room > (int)(db->dmasize - db->swptr))
		room = db->dmasize - db->swptr;
	if (room <= 0)
		room = sb_start(card);
	spin_unlock_irqrestore(&card->lock, flags);
	return room;
}

/* Waits for room. */
static int sb_wait_for_room(struct sb_card *card, struct file *file)
{
	struct sb_dmabuf *db = &card->dac;
	DECLARE_WAITQUEUE(wait, current);
	int room = sb_room(card);

	if (room)
		return room;
	add_wait_queue(&card->wait, &wait);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE);
		room = sb_room(card);
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
		if (!schedule_timeout(sb_timeout(card, db->dmasize))) {
			printk(KERN_WARNING DRV_NAME ": the device does not play\n");
			sb_stop(card);
			sb_dsp_reset(card);
			room = -EIO;
			break;
		}
	}
	set_current_state(TASK_RUNNING);
	remove_wait_queue(&card->wait, &wait);
	return room;
}

static ssize_t sb_write(struct file *file, const char *buffer, size_t count, loff_t *ppos)
{
	struct sb_card *card = file->private_data;
	struct sb_dmabuf *db = &card->dac;
	unsigned long flags;
	ssize_t done = 0;
	int room, err;

	if (ppos != &file->f_pos)
		return -ESPIPE;
	if (!db->ready)
		sb_prog_dmabuf(card);

	while (count > 0) {
		room = sb_wait_for_room(card, file);
		if (room < 0)
			return done ? done : room;
		if ((size_t)room > count)
			room = count;
		if (copy_from_user(db->rawbuf + db->swptr, buffer, room))
			return done ? done : -EFAULT;

		spin_lock_irqsave(&card->lock, flags);
		db->swptr += room;
		if (db->swptr >= db->dmasize)
			db->swptr = 0;
		db->count += room;
		err = db->count >= (int)(SB_MIN_FRAGMENTS * db->fragsize) ? sb_start(card) : 0;
		spin_unlock_irqrestore(&card->lock, flags);

		count -= room;
		buffer += room;
		done += room;
		if (err)
			return err;
	}
	return done;
}

static unsigned int sb_poll(struct file *file, poll_table *wait)
{
	struct sb_card *card = file->private_data;
	struct sb_dmabuf *db = &card->dac;
	unsigned long flags;
	unsigned int mask = 0;

	if (!db->ready)
		sb_prog_dmabuf(card);
	poll_wait(file, &card->wait, wait);
	spin_lock_irqsave(&card->lock, flags);
	sb_update_ptr(card);
	if (!db->ending && (int)db->dmasize - db->count >= (int)db->fragsize)
		mask = POLLOUT | POLLWRNORM;
	spin_unlock_irqrestore(&card->lock, flags);
	return mask;
}

static int sb_set_format(struct sb_card *card, int fmt, unsigned int channels, unsigned int rate)
{
	int err = sb_drain(card);

	if (err)
		return err;
	card->fmt = fmt;
	card->channels = channels;
	card->rate = rate;
	card->dac.ready = 0;
	return 0;
}

static int sb_set_speed(struct sb_card *card, unsigned int rate)
{
	if (rate < SB_MIN_RATE)
		rate = SB_MIN_RATE;
	if (rate > SB_MAX_RATE)
		rate = SB_MAX_RATE;
	return sb_set_format(card, card->fmt, card->channels, rate);
}

static int sb_set_fragment(struct sb_card *card, unsigned int value)
{
	struct sb_dmabuf *db = &card->dac;

	if (db->running || db->count)
		return -EINVAL;
	db->ossfragshift = value & 0xffff;
	db->ossmaxfrags = value >> 16;
	if (db->ossfragshift > PAGE_SHIFT + db->order - 1)
		db->ossfragshift = PAGE_SHIFT + db->order - 1;
	db->ready = 0;
	return 0;
}

/* Smaller fragments than the driver chooses, for who did not ask for a size. */
static int sb_subdivide(struct sb_dmabuf *db, int value)
{
	if (db->ossfragshift || db->subdivision || db->running || db->count)
		return -EINVAL;
	if (value != 1 && value != 2 && value != 4)
		return -EINVAL;
	db->subdivision = value;
	db->ready = 0;
	return 0;
}

static int sb_get_ospace(struct sb_card *card, void *arg)
{
	struct sb_dmabuf *db = &card->dac;
	audio_buf_info info;
	unsigned long flags;

	spin_lock_irqsave(&card->lock, flags);
	sb_update_ptr(card);
	info.fragsize = db->fragsize;
	info.fragstotal = db->numfrag;
	info.bytes = db->ending ? 0 : (int)db->dmasize - db->count;
	info.fragments = info.bytes >> db->fragshift;
	spin_unlock_irqrestore(&card->lock, flags);
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int sb_get_optr(struct sb_card *card, void *arg)
{
	struct sb_dmabuf *db = &card->dac;
	count_info info;
	unsigned long flags;

	spin_lock_irqsave(&card->lock, flags);
	sb_update_ptr(card);
	info.bytes = db->total_bytes;
	info.blocks = db->blocks;
	info.ptr = db->hwptr;
	db->blocks = 0;
	spin_unlock_irqrestore(&card->lock, flags);
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

static int sb_get_odelay(struct sb_card *card)
{
	unsigned long flags;
	int count;

	spin_lock_irqsave(&card->lock, flags);
	sb_update_ptr(card);
	count = card->dac.count;
	spin_unlock_irqrestore(&card->lock, flags);
	return count > 0 ? count : 0;
}

/* The ioctls whose argument is an int that goes in and comes back. */
static int sb_set_ioctl(struct sb_card *card, unsigned int cmd, unsigned long arg)
{
	int value, err = 0;

	if (get_user(value, (int *)arg))
		return -EFAULT;
	switch (cmd) {
	case SNDCTL_DSP_SPEED:
		if (value >= 0)
			err = sb_set_speed(card, value);
		value = card->rate;
		break;
	case SNDCTL_DSP_STEREO:
		err = sb_set_format(card, card->fmt, value ? 2 : 1, card->rate);
		value = card->channels == 2;
		break;
	case SNDCTL_DSP_CHANNELS:
		if (value > 0)
			err = sb_set_format(card, card->fmt, value >= 2 ? 2 : 1, card->rate);
		value = card->channels;
		break;
	case SNDCTL_DSP_SETFMT:
		if (value != AFMT_QUERY)
			err = sb_set_format(card, value == AFMT_S16_LE ? AFMT_S16_LE : AFMT_U8,
					    card->channels, card->rate);
		value = card->fmt;
		break;
	case SNDCTL_DSP_SETFRAGMENT:
		err = sb_set_fragment(card, value);
		break;
	case SNDCTL_DSP_SUBDIVIDE:
		err = sb_subdivide(&card->dac, value);
		break;
	}
	return err ? err : put_user(value, (int *)arg);
}

static int sb_ioctl(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg)
{
	struct sb_card *card = file->private_data;
	unsigned long flags;
	int err;

	if (_IOC_TYPE(cmd) == 'M' && cmd != OSS_GETVERSION)
		return sb_mixer_ioctl(card, cmd, arg);
	if (!card->dac.ready)
		sb_prog_dmabuf(card);

	switch (cmd) {
	case OSS_GETVERSION:
		return put_user(SOUND_VERSION, (int *)arg);
	case SNDCTL_DSP_RESET:
		sb_stop(card);
		card->dac.total_bytes = card->dac.blocks = 0;
		return 0;
	case SNDCTL_DSP_SYNC:
		return sb_drain(card);
	case SNDCTL_DSP_POST:
		spin_lock_irqsave(&card->lock, flags);
		err = sb_start(card);
		spin_unlock_irqrestore(&card->lock, flags);
		return err;
	case SNDCTL_DSP_SPEED:
	case SNDCTL_DSP_STEREO:
	case SNDCTL_DSP_CHANNELS:
	case SNDCTL_DSP_SETFMT:
	case SNDCTL_DSP_SETFRAGMENT:
	case SNDCTL_DSP_SUBDIVIDE:
		return sb_set_ioctl(card, cmd, arg);
	case SNDCTL_DSP_GETBLKSIZE:
		return put_user(card->dac.fragsize, (int *)arg);
	case SNDCTL_DSP_GETFMTS:
		return put_user(AFMT_U8 | AFMT_S16_LE, (int *)arg);
	case SNDCTL_DSP_GETCAPS:
		return put_user(DSP_CAP_REALTIME, (int *)arg);
	case SNDCTL_DSP_GETOSPACE:
		return sb_get_ospace(card, (void *)arg);
	case SNDCTL_DSP_GETOPTR:
		return sb_get_optr(card, (void *)arg);
	case SNDCTL_DSP_GETODELAY:
		return put_user(sb_get_odelay(card), (int *)arg);
	case SNDCTL_DSP_NONBLOCK:
		file->f_flags |= O_NONBLOCK;
		return 0;
	default:
		return -EINVAL;
	}
}

static int sb_open(struct inode *inode, struct file *file)
{
	struct sb_card *card = sb_card;

	/* Recording is not done. */
	if (file->f_mode & FMODE_READ)
		return -EINVAL;
	while (card->open) {
		if (file->f_flags & O_NONBLOCK)
			return -EBUSY;
		interruptible_sleep_on(&card->open_wait);
		if (signal_pending(current))
			return -EINTR;
	}
	card->open = 1;
	file->private_data = card;
	/* /dev/dsp starts with 8 kHz, 8 bits, mono, for whoever says nothing else, /dev/dspW with 16 bits. */
	card->fmt = (MINOR(inode->i_rdev) & 0x0f) == SND_DEV_DSP16 ? AFMT_S16_LE : AFMT_U8;
	card->channels = 1;
	card->rate = SB_DEFAULT_RATE;
	card->dac.ready = 0;
	card->dac.ossfragshift = card->dac.ossmaxfrags = card->dac.subdivision = 0;
	card->dac.total_bytes = card->dac.blocks = 0;
	sb_dsp_command(card, SB_CMD_SPEAKER_ON);
	return 0;
}

static int sb_release(struct inode *inode, struct file *file)
{
	struct sb_card *card = file->private_data;

	if (file->f_flags & O_NONBLOCK)
		sb_stop(card);
	else
		sb_drain(card);
	sb_dsp_command(card, SB_CMD_SPEAKER_OFF);
	file->private_data = NULL;
	card->open = 0;
	wake_up(&card->open_wait);
	return 0;
}

static struct file_operations sb_dsp_fops = {
	.owner = THIS_MODULE,
	.write = sb_write,
	.poll = sb_poll,
	.ioctl = sb_ioctl,
	.open = sb_open,
	.release = sb_release,
};

/* --- Probe --- */

/* The bit that selects a line or a channel in the mixer, or 0 for one that the card does not have. */
static u8 sb_irq_bit(int line)
{
	switch (line) {
	case 2:
	case 9:
		return 0x01;
	case 5:
		return 0x02;
	case 7:
		return 0x04;
	case 10:
		return 0x08;
	default:
		return 0;
	}
}

static u8 sb_dma_bits(int dma8, int dma_16)
{
	if (dma8 != 0 && dma8 != 1 && dma8 != 3)
		return 0;
	if (dma_16 < 5 || dma_16 > 7)
		return 0;
	return (1 << dma8) | (1 << dma_16);
}

static int __init sb_configure(struct sb_card *card)
{
	u8 irq_bit = sb_irq_bit(card->irq), dma_bits = sb_dma_bits(card->dma8, card->dma16);

	if (!irq_bit || !dma_bits) {
		printk(KERN_ERR DRV_NAME ": the card cannot use IRQ %d with DMA %d and %d\n", card->irq,
		       card->dma8, card->dma16);
		return -EINVAL;
	}
	sb_setmixer(card, SB_MIX_RESET, 0);
	sb_setmixer(card, SB_MIX_IRQ, irq_bit);
	sb_setmixer(card, SB_MIX_DMA, dma_bits);
	/* A card whose configuration is fixed by jumpers keeps what it has. */
	if ((sb_getmixer(card, SB_MIX_IRQ) & 0x0f) != irq_bit || sb_getmixer(card, SB_MIX_DMA) != dma_bits) {
		printk(KERN_ERR DRV_NAME ": the card does not take IRQ %d with DMA %d and %d\n", card->irq,
		       card->dma8, card->dma16);
		return -EIO;
	}
	return 0;
}

static int __init sb_detect(struct sb_card *card)
{
	int err = sb_dsp_reset(card);

	if (err) {
		printk(KERN_ERR DRV_NAME ": no Sound Blaster at 0x%x\n", card->io);
		return err;
	}
	card->version = sb_dsp_get_version(card);
	if (card->version < 0)
		return card->version;
	if (card->version >> 8 != SB_MAJOR_SB16) {
		printk(KERN_ERR DRV_NAME ": DSP version %d.%02d is none of a Sound Blaster 16\n",
		       card->version >> 8, card->version & 0xff);
		return -ENODEV;
	}
	return sb_configure(card);
}

static int __init sb_register(struct sb_card *card)
{
	card->dev_dsp = register_sound_dsp(&sb_dsp_fops, -1);
	if (card->dev_dsp < 0)
		return card->dev_dsp;
	card->dev_mixer = register_sound_mixer(&sb_mixer_fops, -1);
	if (card->dev_mixer < 0) {
		unregister_sound_dsp(card->dev_dsp);
		return card->dev_mixer;
	}
	return 0;
}

static int __init init_sb(void)
{
	struct sb_card *card;
	int err;

	card = kmalloc(sizeof(*card), GFP_KERNEL);
	if (!card)
		return -ENOMEM;
	memset(card, 0, sizeof(*card));
	card->io = io;
	card->irq = irq;
	card->dma8 = dma;
	card->dma16 = dma16;
	card->fmt = AFMT_U8;
	card->channels = 1;
	card->rate = SB_DEFAULT_RATE;
	spin_lock_init(&card->lock);
	init_waitqueue_head(&card->wait);
	init_waitqueue_head(&card->open_wait);

	if (!request_region(card->io, SB_IO_EXTENT, DRV_NAME)) {
		printk(KERN_ERR DRV_NAME ": ports 0x%x are taken\n", card->io);
		err = -EBUSY;
		goto err_region;
	}
	err = sb_detect(card);
	if (err)
		goto err_detect;
	err = sb_alloc_buffer(card);
	if (err)
		goto err_detect;
	err = request_dma(card->dma8, DRV_NAME);
	if (err) {
		printk(KERN_ERR DRV_NAME ": DMA channel %d is taken\n", card->dma8);
		goto err_dma8;
	}
	err = request_dma(card->dma16, DRV_NAME);
	if (err) {
		printk(KERN_ERR DRV_NAME ": DMA channel %d is taken\n", card->dma16);
		goto err_dma16;
	}
	err = request_irq(card->irq, sb_interrupt, 0, DRV_NAME, card);
	if (err) {
		printk(KERN_ERR DRV_NAME ": IRQ %d is taken\n", card->irq);
		goto err_irq;
	}
	sb_card = card;
	err = sb_register(card);
	if (err)
		goto err_register;

	printk(KERN_INFO DRV_NAME ": Sound Blaster 16, DSP %d.%02d at 0x%x, IRQ %d, DMA %d and %d\n",
	       card->version >> 8, card->version & 0xff, card->io, card->irq, card->dma8, card->dma16);
	return 0;

err_register:
	sb_card = NULL;
	free_irq(card->irq, card);
err_irq:
	free_dma(card->dma16);
err_dma16:
	free_dma(card->dma8);
err_dma8:
	sb_free_buffer(card);
err_detect:
	release_region(card->io, SB_IO_EXTENT);
err_region:
	kfree(card);
	return err;
}

static void __exit cleanup_sb(void)
{
	struct sb_card *card = sb_card;

	unregister_sound_mixer(card->dev_mixer);
	unregister_sound_dsp(card->dev_dsp);
	sb_dsp_reset(card);
	free_irq(card->irq, card);
	free_dma(card->dma16);
	free_dma(card->dma8);
	sb_free_buffer(card);
	release_region(card->io, SB_IO_EXTENT);
	sb_card = NULL;
	kfree(card);
}

module_init(init_sb);
module_exit(cleanup_sb);
