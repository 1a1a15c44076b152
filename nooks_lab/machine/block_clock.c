/*
 * The clock's tick: called by Unicorn at the start of every translated block, on the host.
 *
 * It is C because a Python hook on every block would cost fifty times as much as the guest's code.
 * It adds the block's instructions to the clock, and stops the CPU exactly at the block where the
 * deadline has passed, so that interrupts and budgets fall on the same instruction in every run.
 * It is also the CPU's INTR pin: while a line asks for service, the CPU stops at the first block that begins
 * with interrupts on.  An instruction that turns them on (iret, sti, popf) ends its block.
 * The layout of struct clock_block is declared again in clock.py.
 */
typedef unsigned int u32;
typedef unsigned long long u64;

/* From x86.h of Unicorn, and Intel's SDM, volume 1, section 3.4.3. */
#define UC_X86_REG_EFLAGS 25
#define EFLAGS_IF 0x200u

struct block_entry {
	u64 key;
	u64 instructions;
};

struct clock_block {
	u64 now;
	u64 deadline;			/* where the fast path ends: until, or 0 while intr is up */
	u64 until;
	u64 instructions;
	u32 last_address;
	u32 last_size;
	u64 intr;			/* the interrupt controller asks for service */
	int (*stop)(void *engine);
	int (*read_register)(void *engine, int id, void *value);
	u32 (*decode)(u32 address, u32 size);
	u64 unused;			/* keeps every entry within one cache line */
	struct block_entry table[4096];
};

static int interrupts_enabled(void *engine, struct clock_block *clock)
{
	u32 eflags = 0;

	clock->read_register(engine, UC_X86_REG_EFLAGS, &eflags);
	return (eflags & EFLAGS_IF) != 0;
}

static __attribute__((noinline)) void slow_path(void *engine, u64 key, struct block_entry *entry,
						struct clock_block *clock)
{
	if (clock->now >= clock->until || (clock->intr && interrupts_enabled(engine, clock))) {
		clock->last_size = 0;
		clock->stop(engine);
		return;
	}
	if (entry->key != key) {
		entry->instructions = clock->decode((u32)key, (u32)(key >> 32));
		entry->key = key;
	}
	clock->now += entry->instructions;
	clock->instructions += entry->instructions;
	clock->last_address = (u32)key;
	clock->last_size = (u32)(key >> 32);
}

#if defined(_WIN32)
__declspec(dllexport)
#endif
void on_block(void *engine, u64 address, u32 size, struct clock_block *clock)
{
	u64 key = (address & 0xffffffffULL) | (u64)size << 32;
	struct block_entry *entry = &clock->table[address & 4095];

	if (__builtin_expect(entry->key == key && clock->now < clock->deadline, 1)) {
		clock->now += entry->instructions;
		clock->instructions += entry->instructions;
		clock->last_address = (u32)address;
		clock->last_size = size;
		return;
	}
	slow_path(engine, key, entry, clock);
}
