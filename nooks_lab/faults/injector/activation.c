/*
 * Whether the CPU ever runs an instruction that a fault has changed: called by Unicorn, on the host, before it does.
 *
 * It is C because a changed instruction may run millions of times.  It compares the bytes in the machine's RAM,
 * where the fault wrote them, so that a module which was loaded to the same linear address after a recovery does not
 * count: it lies in other frames, or its bytes there are its own.
 * The layout of struct watched is declared again in activation.py.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define LONGEST 16

struct watched {
	const u8 *place[LONGEST];	/* each byte may be on another page than the one before */
	u8 code[LONGEST];
	u32 length;
	u32 ran;
};

#if defined(_WIN32)
__declspec(dllexport)
#endif
void on_instruction(void *engine, u64 address, u32 size, struct watched *watched)
{
	u32 i;

	(void)engine;
	(void)address;
	(void)size;
	if (watched->ran)
		return;
	for (i = 0; i < watched->length; i++)
		if (*watched->place[i] != watched->code[i])
			return;
	watched->ran = 1;
}
