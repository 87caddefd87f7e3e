// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct map_tags tags SEC(".maps");
struct map_events events SEC(".maps");
struct map_control control SEC(".maps");
struct map_losses losses SEC(".maps");
struct map_sequences sequences SEC(".maps");
struct map_sockets sockets SEC(".maps");
struct map_flows flows SEC(".maps");
struct map_patterns patterns SEC(".maps");
struct map_cgroups cgroups SEC(".maps");
struct map_selectors_exe selectors_exe SEC(".maps");
struct map_selectors_uid selectors_uid SEC(".maps");
struct map_shares shares SEC(".maps");
struct map_untagged untagged SEC(".maps");
struct map_unseen unseen SEC(".maps");
struct map_unix_flows unix_flows SEC(".maps");
struct map_dispatch dispatch_fork SEC(".maps");
struct map_dispatch dispatch_exec SEC(".maps");
struct map_dispatch dispatch_exit SEC(".maps");
struct map_dispatch dispatch_state SEC(".maps");
struct map_dispatch dispatch_report SEC(".maps");
struct map_dispatch dispatch_listen SEC(".maps");
struct map_dispatch dispatch_send SEC(".maps");
struct map_dispatch dispatch_mkdir SEC(".maps");
struct map_dispatch dispatch_rmdir SEC(".maps");
struct map_scratch scratch_exec SEC(".maps");
struct map_scratch scratch_adopt SEC(".maps");
struct map_environment scratch_environment SEC(".maps");
struct map_scratch_cgroup scratch_cgroup SEC(".maps");
struct map_scratch_unix scratch_unix SEC(".maps");
struct map_adopt adopt SEC(".maps");
struct map_orders orders SEC(".maps");

const volatile bool granted_retval = false, granted_loop = false;
const volatile bool granted_listen = false;
const volatile __u32 flows_per_minute = EVENT_FLOWS_PER_MINUTE;
