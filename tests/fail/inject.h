/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host gives (memory, descriptors, threads) fails once, where a test
 * says. Calls of the code under test come here by the linker's --wrap; those
 * of a spared thread, which is the test's own, always succeed.
 */
#ifndef SOFTVFIO_TESTS_FAIL_INJECT_H
#define SOFTVFIO_TESTS_FAIL_INJECT_H

#include <stdbool.h>

/** inject_spare_me() - Is what this thread does the test's? */
void inject_spare_me(bool on);

/**
 * inject_arm() - The @nth call from now on fails, counting from 1
 * @lasting: and so do all after it
 */
void inject_arm(unsigned int nth, bool lasting);

/** struct injected - What has failed: a call's name, NULL = none has */
struct injected {
	const char *call;
	void *from;
};

/** inject_disarm() - Nothing fails any more */
struct injected inject_disarm(void);

/** inject_report() - What has failed, to stderr */
void inject_report(void);

/** inject_json() - Have jansson's memory fail too */
void inject_json(void);

#endif
