/* SPDX-License-Identifier: Apache-2.0 */
/* compact_process: what a compact line says of a process. Added to the cell that is being made. */
#pragma once

#include <affiant/v1/record.pb-c.h>

#include "cli/cell.h"

/* "agent.py?[4211]", "git[4223]" */
void compact_process(struct line *l, const Affiant__V1__Process *p);
/* In quotes where they need them; of long ones the beginning, and how much more there is. */
void compact_arguments(struct line *l, const Affiant__V1__Process *p);
/* Of the outermost script, and of the executable. Ends the cell. */
void compact_digest(struct line *l, const Affiant__V1__Process *p);
