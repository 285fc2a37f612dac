/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the victims share: programs that use VFIO in ways that are hard on a
 * library in their address space. The first argument names the test. A failed
 * CHECK says so on standard error and ends the program.
 *
 * The machine they run on has two edu, each in a group of its own, and a ram.
 */
#ifndef SOFTVFIO_TESTS_CLIENT_VICTIM_H
#define SOFTVFIO_TESTS_CLIENT_VICTIM_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "uapi/vfio.h"

#define EDU  "0000:01:00.0"
#define EDU2 "0000:02:00.0"
#define RAM  "0000:03:00.0"

#define EDU_IDS	  0x11e81234u /* vendor and device, in configuration space */
#define EDU_ID	  0x010000edu /* the register of that name */
#define EDU_LIVE  0x04
#define EDU_RAISE 0x60
#define EDU_ACK	  0x64
#define EDU_SRC	  0x80
#define EDU_BUF	  0x40000

#define PAGE	    4096ul
#define RW	    (PROT_READ | PROT_WRITE)
#define REGION(i)   ((off_t)(i) << VFIO_PCI_OFFSET_SHIFT)
#define CONFIG	    REGION(VFIO_PCI_CONFIG_REGION_INDEX)
#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define CHECK(cond) victim_check(cond, __FILE__, __LINE__, #cond)

/* A call that must fail, and how. */
#define CHECK_ERRNO(call, err)                                                 \
	do {                                                                   \
		errno = 0;                                                     \
		CHECK((long)(call) == -1 && errno == (err));                   \
	} while (0)

void victim_check(bool good, const char *file, int line, const char *what);

struct victim_test {
	const char *name;
	void (*run)(char **args);
};

/** victim_main() - Run the test the arguments name */
int victim_main(int argc, char **argv, const struct victim_test *tests);

/** check_child() - It ends with status 0 */
void check_child(pid_t pid);

/** struct vfio - Container, group and device of one function */
struct vfio {
	int container;
	int group;
	int device;
};

void vfio_open(struct vfio *v, const char *bdf);
void vfio_close(struct vfio *v);
/* the descriptor or -errno */
int group_try(const char *bdf);

/* Checked accesses through the descriptor. */
uint32_t reg_read(int device, off_t pos);
void reg_write(int device, off_t pos, uint32_t val);
uint16_t command(int device);
void command_set(int device, uint16_t val);
void *bar_map(int device, unsigned int bar, size_t len);

int dma_map(int container, const void *mem, uint64_t iova, size_t len);
int dma_unmap(int container, uint64_t iova, size_t len);
/* between program memory and edu's buffer; waits for the end */
void edu_fetch(int device, uint64_t iova, size_t len);
void edu_store(int device, uint64_t iova, size_t len);

int msi_set(int device, int eventfd);
/* everything a descriptor can be asked, small; true: it is edu's device */
bool is_edu(int device);

void *anon(size_t len);	   /* private */
int memory_file(size_t n); /* memfd */
void *file_map(int fd, size_t len);

/* A size the compiler cannot know, so that fortified calls stay checked. */
static inline size_t some(size_t n)
{
	volatile size_t v = n;

	return v;
}

#endif
