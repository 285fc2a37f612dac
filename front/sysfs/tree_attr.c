/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each file's text as drivers/pci/pci-sysfs.c formats it: programs parse these
 * with sscanf and strtoul, and some compare them whole.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "front/sysfs/tree_attr.h"
#include "lib/cleanup.h"

/* Linux built with PCI_IOV prints six lines for virtual functions' BARs too */
#define RESOURCE_LINES 13

static void add(struct tree_text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add(struct tree_text *text, const char *fmt, ...)
{
	size_t room = sizeof(text->s) - text->len;
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text->s + text->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		text->len += (size_t)n < room ? (size_t)n : room - 1;
}

static bool print_vendor(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "0x%04x\n", dev->vendor);
	return true;
}

static bool print_device(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "0x%04x\n", dev->device);
	return true;
}

static bool print_subsys_vendor(const struct tree_dev *dev,
				struct tree_text *text)
{
	add(text, "0x%04x\n", dev->subsys_vendor);
	return true;
}

static bool print_subsys_device(const struct tree_dev *dev,
				struct tree_text *text)
{
	add(text, "0x%04x\n", dev->subsys_device);
	return true;
}

static bool print_class(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "0x%06" PRIx32 "\n", dev->class_code);
	return true;
}

static bool print_revision(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "0x%02x\n", dev->revision);
	return true;
}

static bool print_irq(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "%u\n", dev->irq);
	return true;
}

static bool print_resource(const struct tree_dev *dev, struct tree_text *text)
{
	static const struct tree_resource none;

	for (unsigned int i = 0; i < RESOURCE_LINES; i++) {
		const struct tree_resource *r =
			i < TREE_RESOURCES ? &dev->resources[i] : &none;

		add(text,
		    "0x%016" PRIx64 " 0x%016" PRIx64 " 0x%016" PRIx64 "\n",
		    r->start, r->end, r->flags);
	}
	return true;
}

static void add_modalias(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X\n", dev->vendor,
	    dev->device, dev->subsys_vendor, dev->subsys_device,
	    dev->class_code >> 16 & 0xff, dev->class_code >> 8 & 0xff,
	    dev->class_code & 0xff);
}

static bool print_modalias(const struct tree_dev *dev, struct tree_text *text)
{
	add_modalias(dev, text);
	return true;
}

bool tree_print_uevent(const struct tree_dev *dev, struct tree_text *text)
{
	if (dev->bound)
		add(text, "DRIVER=vfio-pci\n");
	add(text,
	    "PCI_CLASS=%04" PRIX32 "\nPCI_ID=%04X:%04X\n"
	    "PCI_SUBSYS_ID=%04X:%04X\nPCI_SLOT_NAME=%s\nMODALIAS=",
	    dev->class_code, dev->vendor, dev->device, dev->subsys_vendor,
	    dev->subsys_device, dev->bdf);
	add_modalias(dev, text);
	return true;
}

static bool print_reset_method(const struct tree_dev *dev,
			       struct tree_text *text)
{
	if (!dev->reset_methods)
		return false;
	add(text, "%s\n", dev->reset_methods);
	return true;
}

static bool print_link_speed(const struct tree_dev *dev, struct tree_text *text)
{
	static const char *const speeds[] = {
		NULL, "2.5", "5.0", "8.0", "16.0", "32.0", "64.0",
	};

	if (!dev->link_speed || dev->link_speed >= ARRAY_SIZE(speeds))
		return false;
	add(text, "%s GT/s PCIe\n", speeds[dev->link_speed]);
	return true;
}

static bool print_link_width(const struct tree_dev *dev, struct tree_text *text)
{
	if (!dev->link_speed)
		return false;
	add(text, "%u\n", dev->link_width);
	return true;
}

static unsigned int cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);

	return n > 0 ? (unsigned int)n : 1;
}

static bool print_local_cpulist(const struct tree_dev *dev,
				struct tree_text *text)
{
	unsigned int n = cpus();

	if (n == 1)
		add(text, "0\n");
	else
		add(text, "0-%u\n", n - 1);
	return true;
}

/* The mask in groups of 32 bits; the highest is as wide as it needs to be. */
static bool print_local_cpus(const struct tree_dev *dev, struct tree_text *text)
{
	unsigned int n = cpus();
	unsigned int top = n % 32 ? n % 32 : 32;

	add(text, "%x", (unsigned int)((UINT64_C(1) << top) - 1));
	for (unsigned int left = n - top; left; left -= 32)
		add(text, ",ffffffff");
	add(text, "\n");
	return true;
}

static bool print_zero(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "0\n");
	return true;
}

static bool print_one(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "1\n");
	return true;
}

static bool print_no_node(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "-1\n");
	return true;
}

/* What the PCI core sets before a driver asks for more; vfio-pci never does */
static bool print_dma_bits(const struct tree_dev *dev, struct tree_text *text)
{
	add(text, "32\n");
	return true;
}

const struct tree_attr tree_attrs[] = {
	{"ari_enabled", print_zero},
	{"broken_parity_status", print_zero},
	{"class", print_class},
	{"consistent_dma_mask_bits", print_dma_bits},
	{"current_link_speed", print_link_speed},
	{"current_link_width", print_link_width},
	{"d3cold_allowed", print_one},
	{"device", print_device},
	{"dma_mask_bits", print_dma_bits},
	{"enable", print_zero},
	{"irq", print_irq},
	{"local_cpulist", print_local_cpulist},
	{"local_cpus", print_local_cpus},
	{"max_link_speed", print_link_speed},
	{"max_link_width", print_link_width},
	{"modalias", print_modalias},
	{"msi_bus", print_one},
	{"numa_node", print_no_node},
	{"reset_method", print_reset_method},
	{"resource", print_resource},
	{"revision", print_revision},
	{"subsystem_device", print_subsys_device},
	{"subsystem_vendor", print_subsys_vendor},
	{"uevent", tree_print_uevent},
	{"vendor", print_vendor},
	{NULL, NULL},
};
