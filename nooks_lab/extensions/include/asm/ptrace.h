#ifndef _ASM_PTRACE_H
#define _ASM_PTRACE_H

/* The stack as the exception and interrupt entry leaves it; esp and xss only after a change of ring. */
struct pt_regs {
	long ebx;
	long ecx;
	long edx;
	long esi;
	long edi;
	long ebp;
	long eax;
	int xds;
	int xes;
	long orig_eax;
	long eip;
	int xcs;
	long eflags;
	long esp;
	int xss;
};

#endif
