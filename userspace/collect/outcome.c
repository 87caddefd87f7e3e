/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/outcome.h"

#include <errno.h>
#include <netinet/tcp.h>

/*
 * What ICMP becomes: net/ipv4/icmp.c, icmp_err_convert; net/ipv6/icmp.c, tab_unreach,
 * icmpv6_err_convert().
 */
static Affiant__V1__Outcome outcome_of_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return AFFIANT__V1__OUTCOME__REFUSED;
	case ETIMEDOUT:
		return AFFIANT__V1__OUTCOME__TIMED_OUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENONET:
	case ENOPROTOOPT: /* protocol unreachable */
	case EOPNOTSUPP:  /* source route failed */
	case EACCES:      /* IPv6: prohibited */
	case EPROTO:      /* IPv6: the peer can't read it */
		return AFFIANT__V1__OUTCOME__UNREACHABLE;
	case ECONNRESET:
	case EPIPE:
		return AFFIANT__V1__OUTCOME__RESET;
	case ECONNABORTED: /* SOCK_DESTROY (ss -K), or the address went away */
		return AFFIANT__V1__OUTCOME__ABORTED;
	default:
		return AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN;
	}
}

Affiant__V1__Outcome outcome_of(const struct event_outcome *e, int32_t *ret_errno)
{
	if (e->to == TCP_ESTABLISHED) {
		*ret_errno = 0;
		return AFFIANT__V1__OUTCOME__ESTABLISHED;
	}
	if (e->flags & OUTCOME_REPORT) {
		Affiant__V1__Outcome outcome = outcome_of_errno(e->error);

		*ret_errno = e->error;
		/* An error of a datagram that says nothing of the peer: too long, say. */
		return outcome ?: AFFIANT__V1__OUTCOME__ATTEMPTED;
	}
	if (e->flags & OUTCOME_NOT_SENT) {
		*ret_errno = -1;
		return AFFIANT__V1__OUTCOME__NOT_SENT;
	}
	/*
	 * Told by the socket's release or its next use. Without a state nothing left, and no hook
	 * knows the errno; with one the kernel took it up, and what came of it was not seen.
	 */
	*ret_errno = e->flags & (OUTCOME_RELEASE | OUTCOME_REUSED) ? -1 : e->error;
	if (*ret_errno < 0)
		return e->from ? AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN
			       : AFFIANT__V1__OUTCOME__NOT_SENT;
	/* Closed by the program: a soft error that was pending is not why. */
	return e->error ? outcome_of_errno(e->error) : AFFIANT__V1__OUTCOME__ABORTED;
}

bool was_reset(const struct event_close *e)
{
	if (e->flags & OUTCOME_REPAIR)
		return false; /* nothing was sent */
	if (e->error)
		return e->error == ECONNRESET || e->error == EPIPE;
	return e->to == TCP_CLOSE && (e->from == TCP_ESTABLISHED || e->from == TCP_CLOSE_WAIT);
}

bool close_is_counted(const struct event_close *e)
{
	return e->from || e->to;
}
