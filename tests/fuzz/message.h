/* SPDX-License-Identifier: BSD-3-Clause */
/* A request made of a fuzzer's input: well-formed, then spoiled or not. */
#ifndef SOFTVFIO_TESTS_FUZZ_MESSAGE_H
#define SOFTVFIO_TESTS_FUZZ_MESSAGE_H

#include <stdbool.h>

#include "input.h"
#include "lib/proto.h"

#define MESSAGE_SEGS  2
#define MESSAGE_REFS  4
#define MESSAGE_VMAS  3
#define MESSAGE_WORDS 32
#define MESSAGE_FDS   12

#define ADDRESS 0x10000u	/* where structures are, says the program */
#define MEMORY	0x7f0000000000u /* and what it has mapped */

#define OWN_MM 7 /* both words of mm_id */

/* Functions 0000:01:00.0 and so on */
#define MESSAGE_DEVICES 4

union message_bytes {
	uint32_t words[MESSAGE_WORDS];
	char text[MESSAGE_WORDS * sizeof(uint32_t)];
};

struct message {
	struct sv_request head;
	struct sv_seg seg[MESSAGE_SEGS];
	struct sv_fdref fdref[MESSAGE_REFS];
	struct sv_vma vma[MESSAGE_VMAS];
	union message_bytes bytes[MESSAGE_SEGS];
	size_t cut; /* of its last section */
	int fds[MESSAGE_FDS];
	unsigned int n_fds;
};

/** message_make() - All but the descriptors
 * @bar: those there are */
void message_make(struct message *m, struct input *in,
		  const struct sv_bar_id *bar, size_t n_bars);

/** message_spoil() - One byte of it is another, or it ends early; or not */
void message_spoil(struct message *m, struct input *in);

/** message_send() - Has it gone out? @sock may be anything */
bool message_send(const struct message *m, int sock);

/** message_is_for_door() - If it is for anything */
bool message_is_for_door(const struct message *m);

/** take_number() - One that means something, now and then */
uint64_t take_number(struct input *in);

#endif
