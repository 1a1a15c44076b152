#ifndef _LINUX_MODULE_H
#define _LINUX_MODULE_H

#include <linux/types.h>

struct module_symbol {
	unsigned long value;	/* address */
	const char *name;	/* of an exported symbol */
};

struct module_ref {
	struct module *dep;	/* who is used */
	struct module *ref;	/* who uses it */
	struct module_ref *next_ref;	/* the next user */
};

struct module {
	unsigned long size_of_struct;	/* the loader's */
	struct module *next;	/* all modules */
	const char *name;	/* of the file */
	void *base;	/* where it lies */
	unsigned long size;	/* bytes of memory */
	long usecount;	/* MOD_INC_USE_COUNT, MOD_DEC_USE_COUNT */
	unsigned long flags;	/* MOD_... */
	unsigned int nsyms;	/* of syms */
	unsigned int ndeps;	/* of deps */
	struct module_symbol *syms;	/* what others can use */
	struct module_ref *deps;	/* whose symbols it uses */
	struct module_ref *refs;	/* who uses its symbols */
	int (*init)(void);	/* init_module: process; 0 or an error */
	void (*cleanup)(void);	/* cleanup_module: process */
};

#define MOD_RUNNING 1
#define MOD_DELETED 2
#define MOD_AUTOCLEAN 4
#define MOD_VISITED 8
#define MOD_USED_ONCE 16

/* The loader gives each module its own. */
extern struct module __this_module;
#define THIS_MODULE (&__this_module)

/*
 * In Linux these are macros that add to mod->usecount. A struct module is
 * the kernel's, and an extension cannot write it; so here, as everywhere in
 * these headers, a macro or inline that writes a kernel object is a kernel
 * function, which the loader can bind to a wrapper (paper, section 4.3).
 */
extern void __MOD_INC_USE_COUNT(struct module *mod);	/* Nooks: a macro in Linux */
extern void __MOD_DEC_USE_COUNT(struct module *mod);	/* Nooks: a macro in Linux */

#define MOD_INC_USE_COUNT __MOD_INC_USE_COUNT(THIS_MODULE)
#define MOD_DEC_USE_COUNT __MOD_DEC_USE_COUNT(THIS_MODULE)

#define SET_MODULE_OWNER(some_struct) do { (some_struct)->owner = THIS_MODULE; } while (0)

#define __MODULE_STRING_1(x) #x
#define __MODULE_STRING(x) __MODULE_STRING_1(x)

#define __MODINFO(symbol, text) \
	static const char symbol[] __attribute__((section(".modinfo"), used)) = text

#define MODULE_AUTHOR(name) __MODINFO(__module_author, "author=" name)
#define MODULE_DESCRIPTION(desc) __MODINFO(__module_description, "description=" desc)
#define MODULE_LICENSE(license) __MODINFO(__module_license, "license=" license)
#define MODULE_PARM_DESC(var, desc) \
	__MODINFO(__module_parm_desc_##var, "parm_desc_" __MODULE_STRING(var) "=" desc)

/*
 * insmod finds the variable by its symbol and writes it before init_module.
 * The compiler cannot see that write and would fold the initial value into
 * the code: the second definition lets the address escape.
 */
#define MODULE_PARM(var, type) \
	__MODINFO(__module_parm_##var, "parm_" __MODULE_STRING(var) "=" type); \
	static const void *const __module_parm_addr_##var __attribute__((used)) = &(var)

/*
 * Other modules can use what is in this table, and nothing else of a module;
 * the loader finds it by its section. It is constant, so that in a domain of
 * Nooks no store of the module's own reaches it.
 */
#define EXPORT_SYMBOL(var) \
	static const char __kstrtab_##var[] __attribute__((section(".kstrtab"), used)) = __MODULE_STRING(var); \
	static const struct module_symbol __ksymtab_##var __attribute__((section("__ksymtab"), used)) = { \
		.value = (unsigned long)&(var), .name = __kstrtab_##var }

/* An empty table. */
#define EXPORT_NO_SYMBOLS __asm__(".section __ksymtab, \"a\"\n.previous")

#define MODULE_DEVICE_TABLE(type, table) \
	extern const struct type##_device_id __module_##type##_device_table __attribute__((alias(#table)))

#endif
