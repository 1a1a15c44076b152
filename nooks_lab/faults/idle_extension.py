"""An extension beside the one that fails: it does nothing, and has something to lose."""

from nooks_lab import extensions
from nooks_lab.faults.checksums import checksum, module_checksum
from nooks_lab.kernel.module import Module
from nooks_lab.lab import Lab

_SOURCE = """
#include <linux/module.h>
#include <linux/slab.h>
#define WORDS 512
unsigned long own[WORDS];
unsigned long *block;
static void fill(unsigned long *words, unsigned long seed)
{
	int i;
	for (i = 0; i < WORDS; i++)
		words[i] = seed = seed * 1664525 + 1013904223;
}
int init_module(void)
{
	block = kmalloc(sizeof(own), GFP_KERNEL);
	if (!block)
		return -12;
	fill(own, 1);
	fill(block, 2);
	return 0;
}
void cleanup_module(void) { kfree(block); }
"""


def load(lab: Lab) -> Module:
    """Load it; it is called ``idle``."""
    return lab.insmod(extensions.build("idle.c", _SOURCE))


def checksums(lab: Lab, idle: Module) -> dict[str, int]:
    """Return the checksums of its module and of its block on the heap."""
    image, memory = idle.image, lab.kernel.memory
    assert image is not None
    words = checksum(lab, memory.u32(image.symbols["block"]), image.sizes["own"])
    return {"idle extension": module_checksum(lab, idle), "idle extension's heap": words}
