/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wellknown: connects to sockets of the system that nearly every program makes, by the C library
 * and by logging, and that say nothing of what an agent is after. Not among them are those by which
 * work is handed to somebody else: D-Bus, a container engine, a resolver.
 *
 * By name: what lies there in an agent's own mount namespace can be another socket. Leaving them
 * out is therefore for a view alone that says how many it left out.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>

bool wellknown_connect(const Affiant__V1__Record *r);
