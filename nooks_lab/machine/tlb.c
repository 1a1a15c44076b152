/*
 * The TLB as the CPU uses it: Unicorn asks on_tlb_fill, on the host, for each page it does not know.
 *
 * It is C because a switch of page tables makes it ask for every page again: Python callbacks took a third
 * of a call into another protection domain and back.  A walk other than the built-in one is called in Python.
 * The layout of struct tlb is declared again in tlb.py; Tlb.lookup there does the same where Python looks up and
 * the walk is another, and PageWalker in paging.py is walk() in readable form.
 */
typedef unsigned int u32;
typedef unsigned long long u64;

/* Bits of page-table entries and of TLB entries (SDM table 4-6), of error codes, of CR0; as in paging.py. */
enum { P = 0x001, RW = 0x002, A = 0x020, D = 0x040 };
enum { PF_PRESENT = 0x1, PF_WRITE = 0x2 };
#define CR0_WP 0x00010000u
#define CR0_PG 0x80000000u
#define PAGE_MASK 0xfffff000u

/* A page that was forgotten since the last flush; its place in the list of touched pages stays. */
#define DROPPED 0x800u

/* From unicorn.h and x86.h. */
enum { UC_MEM_WRITE = 17, UC_MEM_FETCH = 18 };
enum { UC_PROT_READ = 1, UC_PROT_EXEC = 4, UC_PROT_ALL = 7 };
enum { UC_X86_REG_CR0 = 50, UC_X86_REG_CR3 = 53 };

struct uc_tlb_entry {
	u64 paddr;
	int perms;
};

struct tlb {
	u32 *entries;			/* by page number; valid if P is set, 0 if not touched since the flush */
	u32 *touched;			/* the pages whose entry is not 0: all that a flush must look at */
	u32 *words;			/* RAM */
	unsigned char *code_frames;	/* RAM's frames that code was fetched from */
	u64 *now;			/* the clock */
	int (*read_registers)(void *engine, const int *ids, void *const *values, int count);
	u32 (*walk)(u32 address, int write);	/* returns 0 for a fault, described below; null: built in */
	u64 misses;
	u32 miss_cycles;
	u32 word_count;
	u32 touched_count;
	u32 cr3, cr0;
	u32 fault_address, fault_code, fault_access;	/* of the last fill that was refused */
};

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT
#endif

EXPORT void tlb_flush(struct tlb *tlb)
{
	u32 i;

	for (i = 0; i < tlb->touched_count; i++)
		tlb->entries[tlb->touched[i]] = 0;
	tlb->touched_count = 0;
}

EXPORT void tlb_load(struct tlb *tlb, u32 cr3, u32 cr0)
{
	if (cr3 != tlb->cr3 || (cr0 ^ tlb->cr0) & (CR0_WP | CR0_PG))
		tlb_flush(tlb);
	tlb->cr3 = cr3;
	tlb->cr0 = cr0;
}

static u32 fault(struct tlb *tlb, u32 address, u32 code)
{
	tlb->fault_address = address;
	tlb->fault_code = code;
	return 0;
}

static u32 walk(struct tlb *tlb, u32 address, int write)
{
	u32 *words = tlb->words;
	u32 absent = write ? PF_WRITE : 0;
	u32 pde_at, pde, pte_at, pte, rights, seen;

	pde_at = ((tlb->cr3 & PAGE_MASK) | (address >> 20 & 0xffc)) >> 2;
	if (pde_at >= tlb->word_count)
		return fault(tlb, address, absent);
	pde = words[pde_at];
	if (!(pde & P))
		return fault(tlb, address, absent);
	pte_at = ((pde & PAGE_MASK) | (address >> 10 & 0xffc)) >> 2;
	if (pte_at >= tlb->word_count)
		return fault(tlb, address, absent);
	pte = words[pte_at];
	if (!(pte & P))
		return fault(tlb, address, absent);
	rights = pde & pte & RW;
	if (write && !rights && tlb->cr0 & CR0_WP)
		return fault(tlb, address, PF_PRESENT | PF_WRITE);
	if (!(pde & A))
		words[pde_at] = pde | A;
	seen = pte | A | (write ? D : 0);
	if (seen != pte)
		words[pte_at] = seen;
	return (seen & (PAGE_MASK | D)) | rights | P;
}

static int writable(const struct tlb *tlb, u32 entry)
{
	return entry & RW || !(tlb->cr0 & CR0_WP);
}

static u32 find(struct tlb *tlb, u32 address, int write)
{
	u32 *entry = &tlb->entries[address >> 12];
	u32 found;

	if (!(*entry & P)) {
		tlb->misses++;
		*tlb->now += tlb->miss_cycles;
	} else if (write && !writable(tlb, *entry)) {
		return fault(tlb, address, PF_PRESENT | PF_WRITE);
	} else if (!write || *entry & D) {
		return *entry;
	}
	found = tlb->walk ? tlb->walk(address, write) : walk(tlb, address, write);
	if (found) {
		if (!*entry)
			tlb->touched[tlb->touched_count++] = address >> 12;
		*entry = found;
	}
	return found;
}

static void forget(struct tlb *tlb, u32 address)
{
	u32 *entry = &tlb->entries[address >> 12];

	if (*entry)
		*entry = DROPPED;
}

/* For Python's own accesses; 0 when the access faults, with the error code in tlb->fault_code. */
EXPORT u32 tlb_lookup(struct tlb *tlb, u32 address, int write)
{
	u32 entry;

	if (!(tlb->cr0 & CR0_PG))
		return (address & PAGE_MASK) | RW | D | P;
	entry = find(tlb, address, write);
	if (!entry)
		forget(tlb, address);
	return entry;
}

EXPORT _Bool on_tlb_fill(void *engine, u64 linear, int access, struct uc_tlb_entry *result, struct tlb *tlb)
{
	static const int ids[] = { UC_X86_REG_CR3, UC_X86_REG_CR0 };
	u32 address = (u32)linear, frame, cr3, cr0;
	u32 entry = (address & PAGE_MASK) | RW | D | P;
	void *const values[] = { &cr3, &cr0 };

	/* Rogue code may have loaded either. */
	tlb->read_registers(engine, ids, values, 2);
	tlb_load(tlb, cr3, cr0);
	if (cr0 & CR0_PG)
		entry = find(tlb, address, access == UC_MEM_WRITE);
	if (!entry) {
		forget(tlb, address);
		tlb->fault_access = (u32)access;
		return 0;
	}
	result->paddr = entry & PAGE_MASK;
	/* A clean page is offered read-only, so that the first store comes back here and sets its D bit. */
	result->perms = entry & D && writable(tlb, entry) ? UC_PROT_ALL : UC_PROT_READ | UC_PROT_EXEC;
	frame = entry >> 12;
	if (access == UC_MEM_FETCH && frame < tlb->word_count >> 10)
		tlb->code_frames[frame] = 1;
	return 1;
}
