/*
 * The clock's tick: called by Unicorn at the start of every translated block, on the host.
 *
 * It is C because a Python hook on every block would cost fifty times as much as the guest's code.
 * It adds the block's instructions to the clock, and stops the CPU exactly at the block where the
 * deadline has passed, so that interrupts and budgets fall on the same instruction in every run.
 * The layout of struct clock_block is declared again in clock.py.
 */
typedef unsigned int u32;
typedef unsigned long long u64;

struct block_entry {
	u64 key;
	u64 instructions;
};

struct clock_block {
	u64 now;
	u64 deadline;
	u64 instructions;
	u32 last_address;
	u32 last_size;
	int (*stop)(void *engine);
	u32 (*decode)(u32 address, u32 size);
	struct block_entry table[4096];
};

static __attribute__((noinline)) void slow_path(void *engine, u64 key, struct block_entry *entry,
						struct clock_block *clock)
{
	if (clock->now >= clock->deadline) {
		clock->last_size = 0;
		clock->stop(engine);
		return;
	}
	entry->instructions = clock->decode((u32)key, (u32)(key >> 32));
	entry->key = key;
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
