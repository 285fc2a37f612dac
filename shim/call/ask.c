/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The requests that other files make by name: of a path, of a BAR by its number,
 * of what a file is.
 */
#include "shim/shim.h"

#include <string.h>

static void own_bytes(struct shim_rpc *rpc, const char *text)
{
	rpc->n_segs = 1;
	rpc->seg = text;
	rpc->seg_len = rpc->seg_want = (uint32_t)strlen(text);
}

int shim_rpc_open(const char *path, int flags)
{
	struct shim_rpc rpc = {
		.fd = -1,
		.op = SV_OPEN,
		.arg = {(unsigned int)flags},
	};

	own_bytes(&rpc, path);
	return (int)shim_rpc(&rpc);
}

static int stat_rpc(struct shim_rpc *rpc, struct sv_stat *ret_st)
{
	struct sv_stat st;

	rpc->data = &st;
	rpc->data_max = sizeof(st);

	int r = (int)shim_rpc(rpc);
	if (r < 0)
		return r;
	if (rpc->ret_len != sizeof(st))
		return -EIO;
	*ret_st = st;
	return 0;
}

int shim_rpc_stat(const char *path, struct sv_stat *ret_st)
{
	struct shim_rpc rpc = {.fd = -1, .op = SV_STAT};

	own_bytes(&rpc, path);
	return stat_rpc(&rpc, ret_st);
}

int shim_rpc_fstat(int fd, struct sv_stat *ret_st)
{
	struct shim_rpc rpc = {.fd = fd, .op = SV_FSTAT};

	return stat_rpc(&rpc, ret_st);
}

int shim_rpc_known(uint64_t cookie)
{
	struct shim_rpc rpc = {.fd = -1, .op = SV_KNOWN, .arg = {cookie}};

	return (int)shim_rpc(&rpc);
}

int shim_rpc_side_door(void)
{
	struct shim_rpc rpc = {.fd = -1, .op = SV_SIDE_DOOR};

	return (int)shim_rpc(&rpc);
}

static void own_bar(struct shim_rpc *rpc, const struct sv_bar_id *id)
{
	rpc->n_segs = 1;
	rpc->seg = id;
	rpc->seg_len = rpc->seg_want = sizeof(*id);
}

int shim_rpc_fault(const struct shim_vma *bar, uint64_t addr, bool write,
		   struct shim_wait *wait)
{
	const struct sv_bar_id id = {bar->dev, bar->ino};
	struct shim_rpc rpc = {
		.fd = -1,
		.op = SV_FAULT,
		.arg = {bar->off + addr - bar->start, write},
		.wait = wait,
	};

	own_bar(&rpc, &id);
	return (int)shim_rpc(&rpc);
}

int shim_rpc_access(const struct shim_vma *bar, uint64_t addr,
		    unsigned int size, bool write, uint64_t *value,
		    struct shim_wait *wait)
{
	const struct sv_bar_id id = {bar->dev, bar->ino};
	struct shim_rpc rpc = {
		.fd = -1,
		.op = SV_ACCESS,
		.arg = {bar->off + addr - bar->start, size, write,
			write ? *value : 0},
		.wait = wait,
	};
	uint64_t read_value;

	own_bar(&rpc, &id);
	if (!write) {
		rpc.data = &read_value;
		rpc.data_max = sizeof(read_value);
	}

	int r = (int)shim_rpc(&rpc);
	if (r < 0 || write)
		return r;
	if (rpc.ret_len != sizeof(read_value))
		return -EIO;
	*value = read_value;
	return 0;
}
