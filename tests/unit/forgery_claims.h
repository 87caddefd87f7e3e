/* SPDX-License-Identifier: Apache-2.0 */
/* forgery_claims: forgeries of the form that RFC 9711 and RFC 10013 give the claims. For test_forgery.c. */
#pragma once

#include "forgery_agent.h"

/* ---- versions ---- */

static void version_as_text(void)
{
	set(f.payload, "swversion", json_string("0.1.0"));
}
static void version_without_scheme(void)
{
	set(f.payload, "swversion", json_pack("[s]", "0.1.0"));
}
static void version_scheme_named(void)
{
	set(f.payload, "swversion", json_pack("[ss]", "0.1.0", "semver"));
}
static void version_scheme_other(void)
{
	set(f.payload, "swversion", json_pack("[si]", "0.1.0", 1));
}
static void version_of_three(void)
{
	set(f.payload, "swversion", json_pack("[sii]", "0.1.0", 16384, 0));
}
static void version_as_number(void)
{
	set(f.payload, "swversion", json_pack("[fi]", 0.1, 16384));
}

/* ---- entries of measurements: the executable's is changed ---- */

#define DIGEST "yj7XhBhPGzu3w1Ob-0XnFxDNJ2Z0JPksLVu035wQfCM"
#define PATH "{\"id\":[\"/usr/bin/python3.11\"]"
#define MEASURED ",\"digested-measurement\":[1,\"" DIGEST "\"]"
#define FLAGS ",\"flags\":\"AAAAAAAAAQQ\""

static void entry_is(json_t *entry)
{
	assert_non_null(entry);
	assert_int_equal(json_array_set_new(files(), 1, entry), 0);
}
static void body_is(const char *text)
{
	entry_is(json_pack("[is]", 296, text));
}
/* What is changed below, unchanged: it passes. */
static void assert_passes(void)
{
	const char *text = json_string_value(json_array_get(json_array_get(files(), 1), 1));

	assert_string_equal(text, PATH MEASURED FLAGS "}");
}

static void entry_by_media_type(void)
{
	assert_passes();
	entry_is(json_pack("[ss]", "application/measured-component+json", PATH MEASURED FLAGS "}"));
}
static void entry_as_object(void)
{
	entry_is(json_pack("[io]", 296, forge_body(files(), 1)));
}
static void entry_in_cbor(void)
{
	entry_is(json_pack("[is]", 295, PATH MEASURED FLAGS "}"));
}
static void entry_format_as_text(void)
{
	entry_is(json_pack("[ss]", "296", PATH MEASURED FLAGS "}"));
}
static void entry_format_broken(void)
{
	entry_is(json_pack("[fs]", 296.5, PATH MEASURED FLAGS "}"));
}
/* The other content-format's readers are not to hear of it, or the other way round. */
static void measured_as_file(void)
{
	entry_is(json_pack("[is]", 65040, PATH MEASURED FLAGS "}"));
}
static void file_as_measured(void)
{
	entry_is(json_pack("[is]", 296, PATH ",\"flags\":\"AAAAAAAAAQU\"}"));
}
static void verity_as_measured(void)
{
	forge_restate(files(), 1, 0, CLAIMS_VERITY, "digested-measurement");
}
static void verity_without_digest(void)
{
	forge_restate(files(), 1, 0, CLAIMS_VERITY, NULL);
}
static void entry_of_three(void)
{
	entry_is(json_pack("[isi]", 296, PATH MEASURED FLAGS "}", 4));
}
static void entry_of_one(void)
{
	entry_is(json_pack("[i]", 296));
}
static void entry_as_map(void)
{
	entry_is(json_pack("{siss}", "content-type", 296, "content-format",
			   PATH MEASURED FLAGS "}"));
}

/* ---- their bodies ---- */

static void body_no_json(void)
{
	body_is("python3.11");
}
static void body_with_tail(void)
{
	body_is(PATH MEASURED FLAGS "}{}");
}
static void body_as_list(void)
{
	body_is("[" PATH MEASURED FLAGS "}]");
}
static void body_nested(void)
{
	body_is("{\"id\":[[[\"/usr/bin/python3.11\"]]]" MEASURED FLAGS "}");
}
static void body_too_long(void)
{
	char *text, space[32768];

	memset(space, ' ', sizeof(space));
	assert_true(asprintf(&text, "%.*s" PATH MEASURED FLAGS "}", (int)sizeof(space), space) > 0);
	body_is(text);
	free(text);
}
static void measurement_doubled(void)
{
	body_is(PATH
		",\"digested-measurement\":[1,\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]" MEASURED
			FLAGS "}");
}
static void flags_doubled(void)
{
	body_is(PATH MEASURED ",\"flags\":\"AAAAAAAAAQU\"" FLAGS "}");
}
static void id_doubled(void)
{
	body_is(PATH ",\"id\":[\"/usr/bin/python3.11\"]" MEASURED FLAGS "}");
}
static void authorities_named(void)
{
	body_is(PATH MEASURED ",\"authorities\":[\"AAAA\"]" FLAGS "}");
}
static void measurement_raw(void)
{
	body_is(PATH ",\"raw-measurement\":\"" DIGEST "\"" FLAGS "}");
}
static void measurement_raw_too(void)
{
	body_is(PATH MEASURED ",\"raw-measurement\":\"" DIGEST "\"" FLAGS "}");
}
static void measurement_old_name(void)
{
	body_is(PATH ",\"measurement\":[1,\"" DIGEST "\"]" FLAGS "}");
}
static void measurement_missing(void)
{
	body_is(PATH FLAGS "}");
}
static void algorithm_by_name(void)
{
	body_is(PATH ",\"digested-measurement\":[\"sha-256\",\"" DIGEST "\"]" FLAGS "}");
}
/* COSE's number for it: another registry. */
static void algorithm_of_cose(void)
{
	body_is(PATH ",\"digested-measurement\":[-16,\"" DIGEST "\"]" FLAGS "}");
}
/* SHA-256 cut to 128 bits, whose name begins alike. */
static void algorithm_cut(void)
{
	body_is(PATH ",\"digested-measurement\":[2,\"yj7XhBhPGzu3w1Ob-0XnFw\"]" FLAGS "}");
}
static void algorithm_sha512(void)
{
	body_is(PATH ",\"digested-measurement\":[8,\"" DIGEST DIGEST "\"]" FLAGS "}");
}
static void digest_short(void)
{
	body_is(PATH
		",\"digested-measurement\":[1,\"yj7XhBhPGzu3w1Ob-0XnFxDNJ2Z0JPksLVu035wQfA\"]" FLAGS
		"}");
}
static void digest_padded(void)
{
	body_is(PATH ",\"digested-measurement\":[1,\"" DIGEST "=\"]" FLAGS "}");
}
static void measurement_of_three(void)
{
	body_is(PATH ",\"digested-measurement\":[1,\"" DIGEST "\",1]" FLAGS "}");
}
static void measurement_as_text(void)
{
	body_is(PATH ",\"digested-measurement\":\"" DIGEST "\"" FLAGS "}");
}
static void flags_missing(void)
{
	body_is(PATH MEASURED "}");
}
static void flags_short(void)
{
	body_is(PATH MEASURED ",\"flags\":\"AAAAAAABBA\"}");
}
static void flags_reserved(void)
{
	body_is(PATH MEASURED ",\"flags\":\"gAAAAAAAAQQ\"}");
}
static void flags_as_number(void)
{
	body_is(PATH MEASURED ",\"flags\":260}");
}
/* Bits behind the last byte: another text for the same flags. */
static void flags_stray_bits(void)
{
	body_is(PATH MEASURED ",\"flags\":\"AAAAAAAAAQR\"}");
}
static void role_none(void)
{
	body_is(PATH MEASURED ",\"flags\":\"AAAAAAAAAAQ\"}");
}
static void role_of_hosts(void)
{
	forge_restate(files(), 1, CLAIMS_CONFIGURATION + 1, CLAIMS_OBSERVED,
		      "digested-measurement");
}
static void role_of_workloads(void)
{
	forge_restate(host_files(), 0, CLAIMS_SCRIPT + 1, CLAIMS_OBSERVED, "digested-measurement");
}
static void state_none(void)
{
	body_is(PATH MEASURED ",\"flags\":\"AAAAAAAAAQA\"}");
}
static void id_with_version(void)
{
	body_is("{\"id\":[\"/usr/bin/python3.11\",[\"3.11\",16384]]" MEASURED FLAGS "}");
}
static void id_as_text(void)
{
	body_is("{\"id\":\"/usr/bin/python3.11\"" MEASURED FLAGS "}");
}
static void path_empty(void)
{
	body_is("{\"id\":[\"\"]" MEASURED FLAGS "}");
}
static void path_with_nul(void)
{
	body_is("{\"id\":[\"/usr/bin/python3.11\\u0000/../x\"]" MEASURED FLAGS "}");
}
static void roots_under_eats_name(void)
{
	set(workload(), "manifests", json_incref(json_object_get(workload(), "manifest_roots")));
	json_object_del(workload(), "manifest_roots");
}
/* It was started too late, said the host; somebody on the way knew better. */
static void state_on_the_way(void)
{
	forge_restate(files(), 1, 0, CLAIMS_HELD, "digested-measurement");
	sign_anew(f.evidence_key);
}

/* ---- the host claims, detached ---- */

static void host_is(json_t *submodule)
{
	assert_non_null(submodule);
	f.keep_host_digest = true;
	set(json_object_get(f.payload, "submods"), "host", submodule);
}

static void host_by_other_registry(void)
{
	host_is(json_pack("[s,[ss]]", "DIGEST", "sha-256", DIGEST));
}
static void host_by_number(void)
{
	host_is(json_pack("[s,[is]]", "DIGEST", -16, DIGEST));
}
static void host_by_sha1(void)
{
	host_is(json_pack("[s,[ss]]", "DIGEST", "SHA-1", "yj7XhBhPGzu3w1Ob-0XnFxDNJ2Y"));
}
static void host_by_half(void)
{
	host_is(json_pack("[s,[ss]]", "DIGEST", "SHA-256/64", "yj7XhBhPGzs"));
}
static void host_as_token(void)
{
	host_is(json_pack("[ss]", "JWT", "e30.e30.AA"));
}
static void host_as_bundle(void)
{
	host_is(json_pack("[s,[[ss],{ss}]]", "BUNDLE", "JWT", "e30.e30.AA", "host", "e30"));
}
static void host_without_selector(void)
{
	host_is(json_pack("[ss]", "SHA-256", DIGEST));
}
static void host_flat(void)
{
	host_is(json_pack("[sss]", "DIGEST", "SHA-256", DIGEST));
}
static void host_attached(void)
{
	host_is(json_deep_copy(f.host_claims));
}
static void host_digest_long(void)
{
	host_is(json_pack("[s,[ss]]", "DIGEST", "SHA-256", DIGEST "A"));
}
static void host_without_profile(void)
{
	json_object_del(f.host_claims, "eat_profile");
}
/* A workload's claims in the host's place, or the other way round. */
static void host_of_other_profile(void)
{
	set(f.host_claims, "eat_profile", json_string(CLAIMS_PROFILE));
}
static void profile_of_host(void)
{
	set(f.payload, "eat_profile", json_string("tag:affiant.dev,2026:host#1"));
}
static void host_entry_by_media_type(void)
{
	json_array_set_new(host_files(), 0,
			   json_pack("[so]", "application/measured-component+json",
				     forge_body(host_files(), 0)));
}
static void host_digest_doubled(void)
{
	json_array_set_new(
		host_files(), 0,
		json_pack("[is]", 296, PATH FLAGS MEASURED ",\"flags\":\"AAAAAAAAAQQ\"}"));
}

#undef DIGEST
#undef PATH
#undef MEASURED
#undef FLAGS
