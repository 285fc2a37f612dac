/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * Reads and writes of a configuration space, by the program and raw. A write
 * is done in pieces of at most a dword inside one capability. After the bits
 * of a piece are stored, the capability's own function does what plain bits
 * cannot: COMMAND opens and closes memory, PMCSR changes the power state, MSI
 * control is clamped, DEVCTL resets.
 *
 * The lock covers bytes and is dropped for every event. So that events come in
 * the order in which the bits change, there is one writer at a time, from its
 * first piece to the end of its last event (writing, idle). A reset, an open
 * and the interrupt code do not wait for a writer: an event handler waits for
 * them, or is them.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "core/pci/config_space.h"
#include "lib/refuse.h"

/* Become the one writer, and stop being it. */
static void config_write_begin(struct config *c) ACQUIRES(&c->lock)
{
	mutex_lock(&c->lock);
	while (c->writing)
		cond_wait(&c->idle, &c->lock);
	c->writing = true;
}

static void config_write_end(struct config *c) RELEASES(&c->lock)
{
	if (c->events.settled) {
		config_unlock(c);
		c->events.settled(c->opaque);
		config_lock(c);
	}
	c->writing = false;
	cond_signal(&c->idle);
	config_unlock(c);
}

/* Events, each with the lock dropped around the call */

static void event_memory(struct config *c, bool enable) REQUIRES(&c->lock)
{
	if (!c->events.memory)
		return;
	config_unlock(c);
	c->events.memory(c->opaque, enable);
	config_lock(c);
}

static void event_power(struct config *c, unsigned int from, unsigned int to)
	REQUIRES(&c->lock)
{
	if (!c->events.power)
		return;
	config_unlock(c);
	c->events.power(c->opaque, from, to);
	config_lock(c);
}

static void event_function_reset(struct config *c) REQUIRES(&c->lock)
{
	if (!c->events.function_reset)
		return;
	config_unlock(c);
	c->events.function_reset(c->opaque);
	config_lock(c);
}

static void event_intx_disable(struct config *c, bool disable)
	REQUIRES(&c->lock)
{
	c->intx_disabled = disable;
	if (!c->events.intx_disable)
		return;
	config_unlock(c);
	c->events.intx_disable(c->opaque, disable);
	config_lock(c);
}

/* Pieces */

/* Bytes at @pos that belong to one capability and to one dword. */
static unsigned int same_cap(const struct config *c, unsigned int pos)
{
	unsigned int n = 1;

	while ((pos + n) % 4 && c->cap[pos + n] == c->cap[pos])
		n++;
	return n;
}

/* The largest naturally aligned access at @pos that fits into @room bytes. */
static unsigned int piece_size(unsigned int pos, size_t room)
{
	if (room >= 4 && pos % 4 == 0)
		return 4;
	if (room >= 2 && pos % 2 == 0)
		return 2;
	return 1;
}

static bool covers(unsigned int pos, unsigned int size, unsigned int byte)
{
	return byte >= pos && byte - pos < size;
}

/* Each bit to where the masks send it; what they do not know is dropped. */
static void write_bits(struct config *c, unsigned int pos, unsigned int size,
		       uint32_t val) REQUIRES(&c->lock)
{
	for (unsigned int i = pos; i < pos + size; i++, val >>= 8) {
		uint8_t to_virt = c->write[i] & c->virt[i];
		uint8_t to_hw = c->write[i] & ~c->virt[i] & c->hw_write[i];

		store_bits(&c->vconfig[i], (uint8_t)val, to_virt);
		store_bits(&c->hw[i], (uint8_t)val, to_hw);
	}
}

/* D1 and D2 do not exist: a request for them changes nothing. */
static void set_power(struct config *c, unsigned int to) REQUIRES(&c->lock)
{
	unsigned int from = c->power;

	if (to == from)
		return;
	if (to == POWER_D3HOT) {
		event_power(c, from, to);
		config_enter_d3hot(c);
	} else if (to == POWER_D0) {
		config_enter_d0(c);
		event_power(c, from, to);
	}
}

/* Header */

static void restore_bars(struct config *c) REQUIRES(&c->lock)
{
	for (unsigned int i = 0; i < HEADER_BARS; i++)
		hw_put(c, PCI_BASE_ADDRESS_0 + 4 * i, 4, c->open_bar[i]);
	hw_put(c, PCI_ROM_ADDRESS, 4, c->open_rom);
}

/* Were the BARs changed, or decode turned off, behind the program's back? */
static bool backdoor_reset(struct config *c, uint32_t command)
	REQUIRES(&c->lock)
{
	uint32_t believed = get_le(c->vconfig + PCI_COMMAND, 2);
	uint32_t lost = command & believed & ~hw_get(c, PCI_COMMAND, 2);

	if (lost & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO))
		return true;
	for (unsigned int i = 0; i < HEADER_BARS; i++)
		if (c->open_bar[i] &&
		    c->open_bar[i] != hw_get(c, PCI_BASE_ADDRESS_0 + 4 * i, 4))
			return true;
	return false;
}

static void update_intx_disable(struct config *c) REQUIRES(&c->lock)
{
	bool disable =
		get_le(c->vconfig + PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE;

	if (disable != c->intx_disabled)
		event_intx_disable(c, disable);
}

/* An access that starts at COMMAND, of any size. */
static void write_command(struct config *c, unsigned int size, uint32_t val)
	REQUIRES(&c->lock)
{
	const uint8_t mirrored = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
	bool memory = val & PCI_COMMAND_MEMORY;

	if (!memory)
		event_memory(c, false);
	if (backdoor_reset(c, val))
		restore_bars(c);
	write_bits(c, PCI_COMMAND, size, val);
	c->raw_off = false;
	store_bits(&c->vconfig[PCI_COMMAND], (uint8_t)val, mirrored);
	if (memory)
		event_memory(c, true);
}

static void write_header(struct config *c, unsigned int pos, unsigned int size,
			 uint32_t val) REQUIRES(&c->lock)
{
	if (pos == PCI_COMMAND)
		write_command(c, size, val);
	else
		write_bits(c, pos, size, val);
	if (pos == PCI_COMMAND || pos == PCI_COMMAND + 1)
		update_intx_disable(c);
	config_clip_bars(c);
}

/* Capabilities */

static void write_pm(struct config *c, unsigned int pos, unsigned int size,
		     uint32_t val) REQUIRES(&c->lock)
{
	write_bits(c, pos, size, val);
	if (pos == PM_POS + PCI_PM_CTRL)
		set_power(c, val & PCI_PM_CTRL_STATE_MASK);
}

/*
 * The program enables MSI with an ioctl; the bit it writes counts only after
 * that, and so do no more vectors than it asked for. As in Linux the check
 * runs on any write that reaches up to the control register's first byte.
 */
static void write_msi(struct config *c, unsigned int pos, unsigned int size,
		      uint32_t val) REQUIRES(&c->lock)
{
	const unsigned int control = MSI_POS + PCI_MSI_FLAGS;

	write_bits(c, pos, size, val);
	if (pos > control || pos + size < control)
		return;

	uint32_t flags = get_le(c->vconfig + control, 2);

	if (!c->msi_vectors)
		flags &= ~(uint32_t)PCI_MSI_FLAGS_ENABLE;
	if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > c->msi_qmax)
		flags = (flags & ~(uint32_t)PCI_MSI_FLAGS_QSIZE) | c->msi_qmax
									   << 4;
	put_le(c->vconfig + control, 2, flags);
	store_bits(&c->hw[control], (uint8_t)flags, c->hw_write[control]);
}

/* The hardware's MRRS follows the program's, never below the hardware's MPS. */
static void update_readrq(struct config *c, uint32_t readrq) REQUIRES(&c->lock)
{
	const unsigned int control = EXP_POS + PCI_EXP_DEVCTL;
	uint32_t code = readrq >> 12;
	uint32_t mps = (hw_get(c, control, 2) & PCI_EXP_DEVCTL_PAYLOAD) >> 5;

	if (code < mps)
		code = mps;
	if (code <= PCI_EXP_DEVCTL_READRQ_4096B >> 12)
		hw_change(c, control, PCI_EXP_DEVCTL_READRQ, code << 12);
}

static void write_exp(struct config *c, unsigned int pos, unsigned int size,
		      uint32_t val) REQUIRES(&c->lock)
{
	uint8_t *control = c->vconfig + EXP_POS + PCI_EXP_DEVCTL;
	uint32_t old = get_le(control, 2);

	write_bits(c, pos, size, val);

	uint32_t new = get_le(control, 2);

	if (new &PCI_EXP_DEVCTL_BCR_FLR) {
		new &= ~(uint32_t)PCI_EXP_DEVCTL_BCR_FLR;
		put_le(control, 2, new);
		if (c->flr)
			event_function_reset(c);
	}
	if ((old ^ new) & PCI_EXP_DEVCTL_READRQ)
		update_readrq(c, new &PCI_EXP_DEVCTL_READRQ);
}

static void write_af(struct config *c, unsigned int pos, unsigned int size,
		     uint32_t val) REQUIRES(&c->lock)
{
	uint8_t *control = c->vconfig + AF_POS + PCI_AF_CTRL;

	write_bits(c, pos, size, val);
	if (!(*control & PCI_AF_CTRL_FLR))
		return;
	*control &= (uint8_t)~PCI_AF_CTRL_FLR;
	event_function_reset(c);
}

static void (*const cap_write[])(struct config *c, unsigned int pos,
				 unsigned int size, uint32_t val) = {
	[CAP_UNASSIGNED] = write_bits, [CAP_HEADER] = write_header,
	[CAP_PM] = write_pm,	       [CAP_MSI] = write_msi,
	[CAP_MSIX] = write_bits,       [CAP_EXP] = write_exp,
	[CAP_AF] = write_af,
};
_Static_assert(sizeof(cap_write) / sizeof(cap_write[0]) == CAP_NUM,
	       "every capability has its write function");

/* The program's view */

static int check_range(const struct config *c, uint64_t pos, size_t count)
{
	if (pos < c->size && count <= c->size - pos)
		return 0;
	return refuse(EFAULT,
		      "config: %zu bytes at %#llx reach beyond the space of "
		      "%u bytes",
		      count, (unsigned long long)pos, c->size);
}

/* Reading has no side effects, so pieces would make no difference. */
int64_t config_read(struct config *c, uint64_t pos, void *buf, size_t count)
{
	uint8_t *to = buf;

	if (count == 0)
		return 0;

	int r = check_range(c, pos, count);

	if (r < 0)
		return r;
	mutex_lock(&c->lock);
	for (size_t i = 0; i < count; i++, pos++)
		to[i] = (uint8_t)((c->hw[pos] & ~c->virt[pos]) |
				  (c->vconfig[pos] & c->virt[pos]));
	mutex_unlock(&c->lock);
	return (int64_t)count;
}

int64_t config_write(struct config *c, uint64_t pos, const void *buf,
		     size_t count)
{
	const uint8_t *from = buf;

	if (count == 0)
		return 0;

	int r = check_range(c, pos, count);

	if (r < 0)
		return r;
	config_write_begin(c);
	for (size_t done = 0; done < count;) {
		unsigned int at = (unsigned int)pos + (unsigned int)done;
		size_t room = same_cap(c, at);

		if (room > count - done)
			room = count - done;

		unsigned int size = piece_size(at, room);

		cap_write[c->cap[at]](c, at, size, get_le(from + done, size));
		done += size;
	}
	config_write_end(c);
	return (int64_t)count;
}

/* The hardware's view */

static size_t raw_clip(const struct config *c, uint64_t pos, size_t count)
{
	if (pos >= c->size)
		return 0;
	return count < c->size - pos ? count : (size_t)(c->size - pos);
}

int64_t config_raw_read(struct config *c, uint64_t pos, void *buf, size_t count)
{
	count = raw_clip(c, pos, count);
	if (count == 0)
		return 0;
	mutex_lock(&c->lock);
	memcpy(buf, c->hw + pos, count);
	mutex_unlock(&c->lock);
	return (int64_t)count;
}

static void raw_bits(struct config *c, unsigned int pos, unsigned int size,
		     uint32_t val) REQUIRES(&c->lock)
{
	for (unsigned int i = pos; i < pos + size; i++, val >>= 8)
		store_bits(&c->hw[i], (uint8_t)val, c->hw_write[i]);
}

static void raw_command(struct config *c, unsigned int size, uint32_t val)
	REQUIRES(&c->lock)
{
	bool old = hw_get(c, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY;
	bool new = val &PCI_COMMAND_MEMORY;

	if (old && !new)
		event_memory(c, false);
	raw_bits(c, PCI_COMMAND, size, val);
	c->raw_off = !new;
	if (!old && new)
		event_memory(c, true);
}

/* Does the piece set the bit that resets the function? */
static bool raw_flr(const struct config *c, unsigned int pos, unsigned int size,
		    uint32_t val)
{
	bool af = c->has[CAP_AF];
	unsigned int at =
		af ? AF_POS + PCI_AF_CTRL : EXP_POS + PCI_EXP_DEVCTL + 1;
	uint32_t bit = af ? PCI_AF_CTRL_FLR : PCI_EXP_DEVCTL_BCR_FLR >> 8;

	return c->flr && covers(pos, size, at) && val >> 8 * (at - pos) & bit;
}

static void raw_piece(struct config *c, unsigned int pos, unsigned int size,
		      uint32_t val) REQUIRES(&c->lock)
{
	if (pos == PCI_COMMAND)
		raw_command(c, size, val);
	else
		raw_bits(c, pos, size, val);
	if (c->has[CAP_PM] && pos == PM_POS + PCI_PM_CTRL)
		set_power(c, val & PCI_PM_CTRL_STATE_MASK);
	if (raw_flr(c, pos, size, val))
		event_function_reset(c);
}

int64_t config_raw_write(struct config *c, uint64_t pos, const void *buf,
			 size_t count)
{
	const uint8_t *from = buf;

	count = raw_clip(c, pos, count);
	if (count == 0)
		return 0;
	config_write_begin(c);
	for (size_t done = 0; done < count;) {
		unsigned int at = (unsigned int)pos + (unsigned int)done;
		unsigned int size = piece_size(at, count - done);

		raw_piece(c, at, size, get_le(from + done, size));
		done += size;
	}
	config_write_end(c);
	return (int64_t)count;
}
