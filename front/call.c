/* SPDX-License-Identifier: BSD-3-Clause */
/* An answer in the making: front/call.h. */
#include <errno.h>
#include <string.h>

#include "front/call.h"
#include "lib/refuse.h"

int call_path(const struct call *call, char *buf, size_t size)
{
	size_t len, want;
	const uint8_t *p = call_data(call, &len, &want);

	while (len && !p[len - 1]) /* a NUL may or may not be sent along */
		len--;
	if (!len || len >= size || memchr(p, 0, len))
		return refuse(EINVAL, "not a path");
	memcpy(buf, p, len);
	buf[len] = '\0';
	return 0;
}

int call_out(struct call *call, const void *buf, size_t len)
{
	if (len > sizeof(call->out) - call->n_out)
		return -ENOMEM;
	memcpy(call->out + call->n_out, buf, len);
	call->n_out += len;
	return 0;
}

int call_copy_out(struct call *call, uint64_t addr, const void *buf, size_t len)
{
	if (call->n_copies == SV_COPIES_MAX || call_out(call, buf, len) < 0)
		return -ENOMEM;
	call->copy[call->n_copies++] =
		(struct sv_copy){.addr = addr, .len = (uint32_t)len};
	return 0;
}

void call_send_fd(struct call *call, int fd, bool as_result, bool cloexec)
{
	call->fd_out = fd;
	call->fd_result = as_result;
	call->cloexec = cloexec;
}
