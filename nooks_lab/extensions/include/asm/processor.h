#ifndef _ASM_PROCESSOR_H
#define _ASM_PROCESSOR_H

/* What a task that does not run needs to run again, and its last exception. */
struct thread_struct {
	unsigned long esp0;
	unsigned long eip;
	unsigned long esp;
	unsigned long cr2;
	unsigned long trap_no;
	unsigned long error_code;
};

typedef struct {
	unsigned long seg;
} mm_segment_t;

static inline void cpu_relax(void)
{
	__asm__ __volatile__("rep; nop" : : : "memory");
}

#define current_text_addr() ({ void *__pc; __asm__("movl $1f,%0\n1:" : "=r"(__pc)); __pc; })

#endif
