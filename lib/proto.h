/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What shim and daemon say to each other: one request, one reply, over unix
 * SOCK_SEQPACKET sockets of one machine (native byte order and layout).
 *
 * A request on an open VFIO file is sent on the file itself, which is a
 * socket, and says where the reply is to come: on one end of a pair, which is
 * the first descriptor it carries, or on a channel, which is such an end that
 * the daemon has kept. A request on no file (open, stat, a fault) is sent on a
 * connection to the instance's door, and answered on it; the next may follow.
 * Or it is sent, as one on a file, on a side door, for where no path leads to
 * the door any more.
 *
 * A channel is a pair that the daemon has made: it alone has the end that it
 * receives on, since whoever else had it could make it block there. It belongs
 * to an address space and has a name there that is never used again:
 * sv_request.mm_id and .channel together find it. It is asked for by
 * SV_REQ_KEEP beside a name; then the reply, which comes on the first
 * descriptor as otherwise, carries the program's end last of its descriptors,
 * if SV_REPLY_KEPT says so. It is used by the name alone, and gone when the
 * program's end is closed. The daemon keeps only so many. So that nobody waits
 * for ever, it closes one that a request names which makes no sense, and shuts
 * one down for writing on which an answer did not go out. So a channel that is
 * at its end has not had the request looked at if poll() shows POLLHUP, and may
 * have had it carried out if not. Until the reply to one request has come no
 * other may name the channel.
 *
 * Of requests the daemon keeps nothing. When it needs more to answer
 * (bytes at some address, the files behind descriptor numbers, what memory
 * lies at an address), it changes nothing, replies SV_NEED with what is
 * missing, and the shim sends the whole request again with that added. So the
 * shim knows no ioctl and no structure, and the daemon waits for nobody.
 *
 *   request:  struct sv_request, then its sections in this order:
 *	       n_segs  x struct sv_seg, n_fdrefs x struct sv_fdref,
 *	       n_vmas  x struct sv_vma, then the segments' bytes, back to back
 *   reply:    struct sv_reply, then by kind, see there
 *
 * What does not fit one message (SV_MSG_MAX bytes, SV_MSG_FDS descriptors)
 * goes ahead of it: the shim first sends continuation parts (struct sv_part)
 * over a channel, then the head, which names the channel, on the file. The
 * daemon takes the parts that are there without waiting. A channel on which
 * something lies for long that no head has asked for is closed before anybody is
 * told who is alive.
 */
#ifndef SOFTVFIO_LIB_PROTO_H
#define SOFTVFIO_LIB_PROTO_H

#include <assert.h>
#include <stdint.h>

#define SV_MAGIC       0x4f465653u /* "SVFO" */
#define SV_REPLY_MAGIC 0x52465653u /* "SVFR": a reply is never a request */

/* Environment variable naming the instance's directory. In it: */
#define SV_ENV_DIR "SOFTVFIO_DIR"
#define SV_DOOR	   "door" /* the socket to connect to */
#define SV_TREE	   "root" /* what /dev/vfio, /sys/bus/pci ... look like */

/*
 * Environment variable naming the daemon's process: "<pid>:<start>:<uid>", in
 * decimal, the start as in field 22 of /proc/PID/stat. It proves files where
 * the door cannot be reached; without it they are asked for there.
 */
#define SV_ENV_DAEMON "SOFTVFIO_DAEMON"

/*
 * The daemon's end of every VFIO file is bound to an abstract name that says
 * what it is, for getpeername() in the shim, but only once the socket is known
 * to be the daemon's, for anybody can bind such a name:
 *   \0softvfio/<instance id, 16 hex>/<random, 16 hex>/<what>
 * where <what> is the path readlink(/proc/self/fd/N) shows on Linux:
 * "/dev/vfio/vfio", "/dev/vfio/12", "anon_inode:[vfio-device]", or a file in
 * /sys.
 */
#define SV_NAME_PREFIX "softvfio/"

/*
 * A BAR's memory is a memfd of this name (/proc/self/maps shows it as
 * "/memfd:softvfio:<id>:<bdf>:<bar> (deleted)"), which people read: requests go
 * by struct sv_bar_id.
 */
#define SV_BAR_NAME_FORMAT "softvfio:%016llx:%s:%u"
#define SV_BAR_NAME_PREFIX "softvfio:"

#define SV_MSG_MAX	(128u << 10) /* bytes of one message */
#define SV_MSG_FDS	250	     /* descriptors of one message */
#define SV_PARTS_MAX	10	     /* continuation parts of one request */
#define SV_DATA_MAX	(64u << 10)  /* payload of one SV_READ or SV_WRITE */
#define SV_PREFETCH	256 /* bytes at an ioctl's argument sent at once */
#define SV_ATTEMPTS_MAX 32  /* SV_NEED rounds before the shim gives up */
#define SV_NEEDS_MAX	4096
#define SV_SEGS_MAX	8
#define SV_COPIES_MAX	8
#define SV_FDREFS_MAX	2048
#define SV_VMAS_MAX	1024

enum sv_op {
	/* on the door */
	SV_OPEN = 1, /* arg: open flags. segment 0: the path, absolute */
	SV_STAT,     /* segment 0: the path. Reply data: struct sv_stat */
	SV_FAULT,    /* arg: offset, 1 = write. segment 0: struct sv_bar_id */
	SV_ACCESS,   /* arg: offset, size (1 2 4 8), 1 = write, value.
		      * segment 0: struct sv_bar_id.
		      * Reply data of a read: the value, 8 bytes */
	SV_CONTROL,  /* segment 0: JSON. Reply: a memfd holding JSON */
	/* on a file */
	SV_FSTAT, /* Reply data: struct sv_stat */
	SV_IOCTL, /* arg: command, argument, SV_ARG_MARK, SV_ARG_DONE.
		   * segment 0: bytes at argument */
	SV_READ,  /* arg: offset or SV_POS, count, bytes to take SV_POS back by
		   * first. Reply data: the bytes */
	SV_WRITE, /* arg: offset or SV_POS. segment 0: the bytes, as far as
		   * the program's memory has them */
	SV_MMAP,  /* arg: offset, length, prot, flags.
		      * Reply: struct sv_map, the ranges, and a memfd */
	SV_CHANNEL, /* nothing but what SV_REQ_KEEP asks for */
	/* on the door */
	SV_KNOWN, /* arg: SO_COOKIE. Result: 1 = of a file that is open, 0 */
	SV_SIDE_DOOR, /* Result: a file that takes what the door takes */
	SV_OP_END,
};

/*
 * SV_NEED_BITS are not kept by whoever is asked: they are carried out, and what
 * comes back is how far that has come. The daemon has marked its reply with a
 * number of its own (@result), and the next request has it in arg[SV_ARG_MARK],
 * 0 where none was. arg[SV_ARG_DONE] counts the SV_NEED_BITS that have been
 * carried out since that mark was first given, in as many rounds as that took.
 */
enum { SV_ARG_MARK = 2, SV_ARG_DONE = 3 };

#define SV_POS UINT64_MAX /* at (and moving) the file's own position */

/**
 * struct sv_request - The head
 * @n_parts: continuation parts waiting in the channel
 * @seq:     comes back in the reply; nobody else could have guessed it, so a
 *	     reply that has another is not the one that is waited for
 * @mm_id:   names the sender's address space; 0 = unknown, then no channels
 * @channel: of a request on a file: where the reply is to come, 0 = on the
 *	     first descriptor
 */
struct sv_request {
	uint32_t magic;
	uint16_t op;
	uint16_t n_parts;
	uint64_t seq;
	uint64_t arg[4];
	uint64_t mm_id[2];
	uint64_t channel;
	uint32_t flags;
	uint32_t n_segs;
	uint32_t n_fdrefs;
	uint32_t n_vmas;
};
static_assert(sizeof(struct sv_request) == 88, "request layout");

#define SV_REQ_MEM_FD (1u << 0) /* the last descriptor is /proc/self/mem */
#define SV_REQ_VMAS   (1u << 1) /* n_vmas describes what SV_NEED_VMAS asked */
#define SV_REQ_KEEP   (1u << 2) /* a channel named @channel is to be made */
#define SV_REQ_FAULT  (1u << 3) /* the SV_NEED_BITS behind those done failed */

/**
 * struct sv_seg - Bytes of program memory (or of the shim's own: paths, JSON)
 * @addr: where they are in the program; 0 for the shim's own
 * @want: how many were asked for
 * @len:  how many could be read; fewer than @want = the next one faults
 */
struct sv_seg {
	uint64_t addr;
	uint32_t want;
	uint32_t len;
};
static_assert(sizeof(struct sv_seg) == 16, "segment layout");

/**
 * struct sv_fdref - A descriptor number the daemon asked about
 * @number: as the program wrote it
 * @index:  which of the request's descriptors it is (0 = the first behind the
 *	    reply socket, counting through head, then parts in order), or -1
 *	    when the program has no such descriptor
 */
struct sv_fdref {
	int32_t number;
	int32_t index;
};

/** enum sv_vma_kind - what backs a mapping */
enum sv_vma_kind {
	SV_VMA_MM,   /* private, or a file nobody could open again */
	SV_VMA_FILE, /* shared mapping of a regular file: @index is it */
	SV_VMA_BAR,  /* one of our BARs, by @dev and @ino of its memfd */
};

/**
 * struct sv_vma - Part of what lies in the range SV_NEED_VMAS asked for, cut
 * to it; ascending. A gap between two is unmapped.
 * @start: program address
 * @end:   exclusive
 * @off:   file offset at @start
 * @dev:   makedev() of the file, as stat shows it
 * @ino:   inode of the file
 * @prot:  PROT_READ | PROT_WRITE as it is now
 * @kind:  enum sv_vma_kind
 * @index: descriptor as in struct sv_fdref, -1 without
 */
struct sv_vma {
	uint64_t start;
	uint64_t end;
	uint64_t off;
	uint64_t dev;
	uint64_t ino;
	uint32_t prot;
	uint16_t kind;
	int16_t index;
};
static_assert(sizeof(struct sv_vma) == 48, "vma layout");

/**
 * struct sv_part - Head of a continuation part, in a channel
 * @seq:   of the request
 * @bytes: following; appended to the request's sections as if one message.
 *	   Its descriptors are appended to the request's.
 */
struct sv_part {
	uint32_t magic;
	uint32_t bytes;
	uint64_t seq;
};

enum sv_reply_kind {
	SV_DONE = 1,
	SV_NEED,
};

/**
 * struct sv_reply - The answer
 * @result: >= 0, or a negative errno; of SV_NEED: what comes back in
 *	    arg[SV_ARG_MARK]
 * @flags:  SV_REPLY_*
 * @n_fds:  descriptors that were sent along: who has no room for all of them
 *	    gets the first ones
 *
 * SV_DONE is followed by
 *   READ:		   @result bytes
 *   STAT, FSTAT:	   struct sv_stat
 *   ACCESS, reading:	   uint64_t
 *   MMAP:		   struct sv_map, its ranges; and the memfd
 *   CONTROL:		   nothing; a memfd
 *   everything else:	   @n x struct sv_copy, then their bytes back to back,
 *			   to be written to program memory (EFAULT if one
 *			   cannot)
 * With SV_REPLY_FD the result is the descriptor that came along.
 *
 * SV_NEED is followed by @n x struct sv_need, then the descriptor numbers
 * (int32_t) of every SV_NEED_FDS back to back.
 */
struct sv_reply {
	uint32_t magic;
	uint16_t kind;
	uint16_t n;
	uint64_t seq;
	int64_t result;
	uint32_t flags;
	uint32_t n_fds;
};
static_assert(sizeof(struct sv_reply) == 32, "reply layout");

#define SV_REPLY_FD	 (1u << 0) /* result = the descriptor received */
#define SV_REPLY_CLOEXEC (1u << 1) /* which is to be close-on-exec */
#define SV_REPLY_KEPT	 (1u << 2) /* the last descriptor is the channel */

enum sv_need_kind {
	SV_NEED_BYTES = 1, /* a segment: @len bytes at @addr */
	SV_NEED_FDS,	   /* the files behind @len descriptor numbers */
	SV_NEED_VMAS,	   /* what is mapped in [@addr, @addr + @len) */
	SV_NEED_MM,	   /* /proc/self/mem, opened read-write */
	SV_NEED_BITS,	   /* @len ones written to a bitmap of 64-bit words,
			    * behind bit @flags of the one at @addr. What is in
			    * front of them in the first word stays, what is
			    * behind them in the last becomes 0 */
};

#define SV_BITS_MAX (1ull << 32)

/* @flags of SV_NEED_VMAS: and SV_NEED_MM, if any of it is SV_VMA_MM */
#define SV_NEED_WITH_MM (1u << 0)

struct sv_need {
	uint32_t kind;
	uint32_t flags;
	uint64_t addr;
	uint64_t len;
};

struct sv_copy {
	uint64_t addr;
	uint32_t len;
	uint32_t reserved;
};

/**
 * struct sv_bar_id - A BAR, by the memfd that is mapped
 * @dev: its st_dev
 * @ino: its st_ino
 *
 * Who asks has it mapped, and the daemon has it open: while both is so the host
 * gives the number to no other file, so equal numbers are one file.
 */
struct sv_bar_id {
	uint64_t dev;
	uint64_t ino;
};

struct sv_stat {
	uint32_t mode; /* type and permission */
	uint32_t nlink;
	uint64_t rdev;
	uint64_t size;
	uint64_t ino;
};

/**
 * struct sv_map - How to map a BAR: mmap() the memfd at @offset
 * @n: ranges that follow
 */
struct sv_map {
	uint64_t offset;
	uint32_t n;
	uint32_t reserved;
};

/**
 * struct sv_map_range - A stretch of the mapping, ascending, covering it all
 * @trap: map it PROT_NONE and turn every access into SV_ACCESS
 */
struct sv_map_range {
	uint64_t len;
	uint32_t trap;
	uint32_t reserved;
};

#endif
