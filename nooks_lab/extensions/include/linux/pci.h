#ifndef _LINUX_PCI_H
#define _LINUX_PCI_H

#include <linux/errno.h>
#include <linux/ioport.h>
#include <linux/list.h>
#include <linux/pci_ids.h>
#include <linux/types.h>

#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO 0x1
#define PCI_COMMAND_MEMORY 0x2
#define PCI_COMMAND_MASTER 0x4
#define PCI_COMMAND_INVALIDATE 0x10
#define PCI_STATUS 0x06
#define PCI_CLASS_REVISION 0x08
#define PCI_REVISION_ID 0x08
#define PCI_CACHE_LINE_SIZE 0x0c
#define PCI_LATENCY_TIMER 0x0d
#define PCI_BASE_ADDRESS_0 0x10
#define PCI_BASE_ADDRESS_SPACE_IO 0x01
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID 0x2e
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d

#define PCI_DEVFN(slot, func) ((((slot) & 0x1f) << 3) | ((func) & 0x07))
#define PCI_SLOT(devfn) (((devfn) >> 3) & 0x1f)
#define PCI_FUNC(devfn) ((devfn) & 0x07)

#define PCI_ANY_ID (~0U)

#define PCI_DMA_BIDIRECTIONAL 0
#define PCI_DMA_TODEVICE 1
#define PCI_DMA_FROMDEVICE 2
#define PCI_DMA_NONE 3

#define PCI_NUM_RESOURCES 6

struct pci_bus {
	struct list_head devices;	/* on it */
	unsigned char number;	/* 0 */
	char name[48];	/* for show */
};

/* An extension's version is a read-only copy; what changes it is a function below. */
struct pci_dev {
	struct list_head global_list;	/* the kernel's */
	struct list_head bus_list;	/* the kernel's */
	struct pci_bus *bus;	/* that it is on */
	unsigned int devfn;	/* PCI_SLOT and PCI_FUNC */
	unsigned short vendor;	/* of the configuration space, as those below */
	unsigned short device;	/* its model */
	unsigned short subsystem_vendor;	/* who made the card */
	unsigned short subsystem_device;	/* which card */
	unsigned int class;	/* class, subclass and interface */
	struct pci_driver *driver;	/* that has taken it */
	void *driver_data;	/* pci_set_drvdata, pci_get_drvdata */
	dma_addr_t dma_mask;	/* addresses that it can reach */
	unsigned int irq;	/* its interrupt line: for request_irq */
	struct resource resource[PCI_NUM_RESOURCES];	/* its windows: pci_resource_start(dev, bar) and so on */
	char name[90];	/* for show */
	char slot_name[8];	/* for show: 00:03.0 */
};

struct pci_device_id {
	unsigned int vendor, device;	/* PCI_ANY_ID takes every one; all zeros end the table */
	unsigned int subvendor, subdevice;	/* the same */
	unsigned int class, class_mask;	/* the bits of class that must be equal */
	unsigned long driver_data;	/* the driver's own */
};

struct pci_driver {
	struct list_head node;	/* the kernel's */
	const char *name;	/* for show */
	const struct pci_device_id *id_table;	/* what it drives */
	int (*probe)(struct pci_dev *dev, const struct pci_device_id *id);	/* process: take the device and return 0, or an error */
	void (*remove)(struct pci_dev *dev);	/* process: let go of it */
};

extern int pci_register_driver(struct pci_driver *drv);
extern void pci_unregister_driver(struct pci_driver *drv);

extern int pci_enable_device(struct pci_dev *dev);
extern void pci_disable_device(struct pci_dev *dev);
extern void pci_set_master(struct pci_dev *dev);
extern int pci_set_dma_mask(struct pci_dev *dev, dma_addr_t mask);
extern int pci_request_regions(struct pci_dev *pdev, const char *res_name);
extern void pci_release_regions(struct pci_dev *pdev);

extern int pci_read_config_byte(struct pci_dev *dev, int where, u8 *val);
extern int pci_read_config_word(struct pci_dev *dev, int where, u16 *val);
extern int pci_read_config_dword(struct pci_dev *dev, int where, u32 *val);
extern int pci_write_config_byte(struct pci_dev *dev, int where, u8 val);
extern int pci_write_config_word(struct pci_dev *dev, int where, u16 val);
extern int pci_write_config_dword(struct pci_dev *dev, int where, u32 val);

extern void *pci_alloc_consistent(struct pci_dev *hwdev, size_t size, dma_addr_t *dma_handle);
extern void pci_free_consistent(struct pci_dev *hwdev, size_t size, void *vaddr, dma_addr_t dma_handle);
extern dma_addr_t pci_map_single(struct pci_dev *hwdev, void *ptr, size_t size, int direction);
extern void pci_unmap_single(struct pci_dev *hwdev, dma_addr_t dma_addr, size_t size, int direction);
extern void pci_dma_sync_single(struct pci_dev *hwdev, dma_addr_t dma_handle, size_t size, int direction);

/* An inline in Linux; it writes a pci_dev, so it is a function here (see linux/module.h). */
extern void pci_set_drvdata(struct pci_dev *pdev, void *data);	/* Nooks: an inline in Linux */

static inline void *pci_get_drvdata(struct pci_dev *pdev)
{
	return pdev->driver_data;
}

#define pci_resource_start(dev, bar) ((dev)->resource[(bar)].start)
#define pci_resource_end(dev, bar) ((dev)->resource[(bar)].end)
#define pci_resource_flags(dev, bar) ((dev)->resource[(bar)].flags)
#define pci_resource_len(dev, bar) \
	((pci_resource_start((dev), (bar)) == 0 && pci_resource_end((dev), (bar)) == 0) ? \
	 0 : (pci_resource_end((dev), (bar)) - pci_resource_start((dev), (bar)) + 1))

/* pci_register_driver says how many devices the driver took; a module without one need not stay. */
static inline int pci_module_init(struct pci_driver *drv)
{
	int taken = pci_register_driver(drv);

	if (taken > 0)
		return 0;
	pci_unregister_driver(drv);
	return taken < 0 ? taken : -ENODEV;
}

#endif
