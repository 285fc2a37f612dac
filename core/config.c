/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DOC: Theory of operation
 *
 * A space has two copies of its bytes. hw is what the device would answer on
 * the bus; vconfig is vfio-pci's shadow. A program reads and writes through
 * masks that say, bit by bit, which of the two it means (config_space.h), in
 * pieces of at most a dword inside one capability. After the bits of a piece
 * are stored, the capability's own function does what plain bits cannot:
 * COMMAND opens and closes memory, PMCSR changes the power state, MSI control
 * is clamped, DEVCTL resets.
 *
 * The lock covers bytes and is dropped for every event. So that events come in
 * the order in which the bits change, there is one writer at a time, from its
 * first piece to the end of its last event (writing, idle). A reset, an open
 * and the interrupt code do not wait for a writer: an event handler waits for
 * them, or is them.
 *
 * Queries take nothing: each critical section that may change an answer ends
 * with the answers published in one atomic word.
 */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "core/config_space.h"
#include "lib/refuse.h"

enum {
	STATE_MEMORY = 1,
	STATE_IO = 2,
	STATE_MASTER = 4,
	STATE_INTX_DISABLED = 8,
};

static uint32_t hw_get(const struct config *c, unsigned int pos,
		       unsigned int size) REQUIRES(&c->lock)
{
	return get_le(c->hw + pos, size);
}

static void hw_put(struct config *c, unsigned int pos, unsigned int size,
		   uint32_t val) REQUIRES(&c->lock)
{
	put_le(c->hw + pos, size, val);
}

static void hw_change(struct config *c, unsigned int pos, uint32_t clear,
		      uint32_t set) REQUIRES(&c->lock)
{
	hw_put(c, pos, 2, (hw_get(c, pos, 2) & ~clear) | set);
}

/*
 * vfio looks at its own copy of COMMAND.MEMORY; a device whose real bit was
 * cleared behind its back (setpci) does not answer either.
 */
static void config_publish(struct config *c) REQUIRES(&c->lock)
{
	uint32_t hw = hw_get(c, PCI_COMMAND, 2);
	uint32_t virt = get_le(c->vconfig + PCI_COMMAND, 2);
	unsigned int state = 0;

	if (hw & virt & PCI_COMMAND_MEMORY && c->power < POWER_D3HOT)
		state |= STATE_MEMORY;
	if (hw & PCI_COMMAND_IO)
		state |= STATE_IO;
	if (hw & PCI_COMMAND_MASTER && c->power == POWER_D0)
		state |= STATE_MASTER;
	if (virt & PCI_COMMAND_INTX_DISABLE)
		state |= STATE_INTX_DISABLED;
	atomic_store_explicit(&c->state, state, memory_order_release);
}

static void config_lock(struct config *c) ACQUIRES(&c->lock)
{
	mutex_lock(&c->lock);
}

static void config_unlock(struct config *c) RELEASES(&c->lock)
{
	config_publish(c);
	mutex_unlock(&c->lock);
}

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

static void store_bits(uint8_t *p, uint8_t val, uint8_t mask)
{
	*p = (uint8_t)((*p & ~mask) | (val & mask));
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

/* Interrupt enables as the interrupt code has set them */

static void put_msi(struct config *c) REQUIRES(&c->lock)
{
	uint32_t masks = 0;

	if (!c->has[CAP_MSI])
		return;
	if (c->msi_vectors) {
		hw_change(c, MSI_POS + PCI_MSI_FLAGS, PCI_MSI_FLAGS_QSIZE,
			  PCI_MSI_FLAGS_ENABLE | c->msi_qmax << 4);
		/* the kernel masks what it did not hand out */
		masks = c->msi_masks &
			~(uint32_t)((1ull << c->msi_vectors) - 1);
	} else {
		hw_change(c, MSI_POS + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE, 0);
	}
	if (c->msi_masks)
		hw_put(c, MSI_POS + PCI_MSI_MASK_64, 4, masks);
}

static void put_msix(struct config *c) REQUIRES(&c->lock)
{
	if (c->has[CAP_MSIX])
		hw_change(c, MSIX_POS + PCI_MSIX_FLAGS,
			  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
			  c->msix_enabled ? PCI_MSIX_FLAGS_ENABLE : 0);
}

/* Power */

static void put_power(struct config *c, unsigned int power) REQUIRES(&c->lock)
{
	c->power = power;
	hw_change(c, PM_POS + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK, power);
}

static void enter_d3hot(struct config *c) REQUIRES(&c->lock)
{
	memcpy(c->d3_save, c->hw, sizeof(c->d3_save));
	put_power(c, POWER_D3HOT);
}

/*
 * The transition loses the registers and the kernel puts back what it saved on
 * the way in: either way, writes made in D3hot do not survive it.
 */
static void enter_d0(struct config *c) REQUIRES(&c->lock)
{
	if (c->power == POWER_D0)
		return;
	if (c->soft_reset) {
		for (unsigned int i = 0; i < CONFIG_SPACE_MIN; i++)
			store_bits(&c->hw[i], c->d3_save[i], c->hw_write[i]);
		put_msi(c);
		put_msix(c);
	}
	put_power(c, POWER_D0);
}

/* D1 and D2 do not exist: a request for them changes nothing. */
static void set_power(struct config *c, unsigned int to) REQUIRES(&c->lock)
{
	unsigned int from = c->power;

	if (to == from)
		return;
	if (to == POWER_D3HOT) {
		event_power(c, from, to);
		enter_d3hot(c);
	} else if (to == POWER_D0) {
		enter_d0(c);
		event_power(c, from, to);
	}
}

/* Header */

/* Sizing: the copies of BARs and ROM keep the bits that hardware would keep. */
static void clip_bars(struct config *c) REQUIRES(&c->lock)
{
	for (unsigned int i = PCI_BASE_ADDRESS_0; i < PCI_ROM_ADDRESS + 4; i++)
		if (i < PCI_BASE_ADDRESS_5 + 4 || i >= PCI_ROM_ADDRESS)
			store_bits(&c->vconfig[i], c->hw[i],
				   (uint8_t)~c->hw_write[i]);
}

static void save_bars(struct config *c) REQUIRES(&c->lock)
{
	for (unsigned int i = 0; i < HEADER_BARS; i++)
		c->open_bar[i] = hw_get(c, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	c->open_rom = hw_get(c, PCI_ROM_ADDRESS, 4);
}

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
	clip_bars(c);
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

static void (*const cap_write[])(struct config *c, unsigned int pos,
				 unsigned int size, uint32_t val) = {
	[CAP_UNASSIGNED] = write_bits, [CAP_HEADER] = write_header,
	[CAP_PM] = write_pm,	       [CAP_MSI] = write_msi,
	[CAP_MSIX] = write_bits,       [CAP_EXP] = write_exp,
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
	if (!old && new)
		event_memory(c, true);
}

static void raw_piece(struct config *c, unsigned int pos, unsigned int size,
		      uint32_t val) REQUIRES(&c->lock)
{
	const unsigned int flr = EXP_POS + PCI_EXP_DEVCTL + 1;

	if (pos == PCI_COMMAND)
		raw_command(c, size, val);
	else
		raw_bits(c, pos, size, val);
	if (pos == PM_POS + PCI_PM_CTRL)
		set_power(c, val & PCI_PM_CTRL_STATE_MASK);
	if (c->flr && covers(pos, size, flr) &&
	    val >> 8 * (flr - pos) & PCI_EXP_DEVCTL_BCR_FLR >> 8)
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

/* Life */

/* vconfig as it is made at open: the hardware's values, PME events hidden. */
static void fresh_view(struct config *c) REQUIRES(&c->lock)
{
	const unsigned int pm = PM_POS;

	memcpy(c->vconfig, c->hw, c->size);
	put_le(c->vconfig + pm + PCI_PM_PMC, 2,
	       hw_get(c, pm + PCI_PM_PMC, 2) & ~(uint32_t)PCI_PM_CAP_PME_MASK);
	put_le(c->vconfig + pm + PCI_PM_CTRL, 2,
	       hw_get(c, pm + PCI_PM_CTRL, 2) &
		       ~(uint32_t)(PCI_PM_CTRL_PME_ENABLE |
				   PCI_PM_CTRL_PME_STATUS));
	clip_bars(c);
	save_bars(c);
	c->intx_disabled = false;
}

/* msi_qmax stays from one open to the next, as it does in vfio-pci. */
static void restart(struct config *c) REQUIRES(&c->lock)
{
	enter_d0(c);
	c->msi_vectors = 0;
	c->msix_enabled = false;
	put_msi(c);
	put_msix(c);
	hw_change(c, PCI_COMMAND,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
			  PCI_COMMAND_INTX_DISABLE,
		  PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	fresh_view(c);
}

int config_new(const struct sv_shape *shape, uint8_t irq_line,
	       const uint64_t bar_base[7], const struct config_events *events,
	       void *opaque, struct config **ret_config)
{
	struct config *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	mutex_init(&c->lock, RANK_CONFIG, "config");
	cond_init(&c->idle);
	c->events = *events;
	c->opaque = opaque;
	config_lock(c);
	config_build(c, shape, irq_line, bar_base);
	restart(c);
	config_unlock(c);
	*ret_config = c;
	return 0;
}

struct config *config_free(struct config *c)
{
	if (!c)
		return NULL;
	cond_done(&c->idle);
	mutex_done(&c->lock);
	free(c);
	return NULL;
}

unsigned int config_size(const struct config *c)
{
	return c->size;
}

void config_open(struct config *c)
{
	config_lock(c);
	restart(c);
	config_unlock(c);
}

void config_close(struct config *c)
{
	config_lock(c);
	restart(c);
	config_unlock(c);
}

void config_reset(struct config *c)
{
	config_lock(c);
	enter_d0(c);
	put_msi(c);
	put_msix(c);
	config_unlock(c);
}

/* Queries */

static bool state_has(const struct config *c, unsigned int bit)
{
	return atomic_load_explicit(&c->state, memory_order_acquire) & bit;
}

bool config_memory_enabled(const struct config *c)
{
	return state_has(c, STATE_MEMORY);
}

bool config_io_enabled(const struct config *c)
{
	return state_has(c, STATE_IO);
}

bool config_bus_master(const struct config *c)
{
	return state_has(c, STATE_MASTER);
}

bool config_intx_disabled(const struct config *c)
{
	return state_has(c, STATE_INTX_DISABLED);
}

/* What the interrupt code does */

void config_set_msi(struct config *c, unsigned int vectors)
{
	config_lock(c);
	c->msi_vectors = vectors;
	if (vectors)
		c->msi_qmax = (unsigned int)__builtin_ctz(vectors);
	put_msi(c);
	/* the kernel turns the pin off while messages are on */
	hw_change(c, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE,
		  vectors ? PCI_COMMAND_INTX_DISABLE : 0);
	config_unlock(c);
}

void config_set_msix(struct config *c, bool enable)
{
	config_lock(c);
	c->msix_enabled = enable;
	put_msix(c);
	hw_change(c, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE,
		  enable ? PCI_COMMAND_INTX_DISABLE : 0);
	config_unlock(c);
}

void config_set_intx_status(struct config *c, bool pending)
{
	config_lock(c);
	hw_change(c, PCI_STATUS, PCI_STATUS_INTERRUPT,
		  pending ? PCI_STATUS_INTERRUPT : 0);
	config_unlock(c);
}

void config_set_intx_disable(struct config *c, bool disable)
{
	config_lock(c);
	hw_change(c, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE,
		  disable ? PCI_COMMAND_INTX_DISABLE : 0);
	config_unlock(c);
}
