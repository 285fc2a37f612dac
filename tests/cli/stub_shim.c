/* SPDX-License-Identifier: BSD-3-Clause */
/* A library to preload that does nothing: programs here use no VFIO. */
