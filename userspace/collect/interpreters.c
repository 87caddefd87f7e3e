/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/interpreters.h"

#include <stdbool.h>
#include <string.h>

/*
 * Taken from the interpreters themselves: their help, and where it is silent, what they do. Node's
 * are the options that versions 16 to 26 know, including those that are not documented, with the
 * types that node itself keeps of them (internalBinding('options')), and the better known ones of
 * V8, which node hands on. `-n`, `--check` and their like read a script without running it.
 *
 * What stands in the way of an answer is marked `!` as well: a change of the directory in which
 * the script's name is looked up (ruby -C, bun --cwd), a search along PATH (perl -S), a module
 * loader that has other files (node --vfs-load), an option whose meaning changed.
 */
static const char node_words[] =
	"abort-on-uncaught-exception= addons allow-addons allow-child-process allow-ffi "
	"allow-fs-read: allow-fs-vfs allow-fs-write: allow-inspector allow-natives-syntax= "
	"allow-net allow-openssl-store allow-wasi allow-worker always-sparkplug= "
	"async-context-frame bench! bench-isolation: bench-name-pattern: bench-reporter: "
	"bench-reporter-destination: bench-samples: bench-warmup: build-sea! build-snapshot "
	"build-snapshot-config! check! completion-bash! concurrent-recompilation= conditions: "
	"config-file! cpu-prof cpu-prof-dir: cpu-prof-interval: cpu-prof-name: debug "
	"debug-arraybuffer-allocations debug-brk debug-port: deprecation diagnostic-dir: "
	"disable-proto: disable-sigusr1 disable-warning: disable-wasm-trap-handler "
	"disallow-code-generation-from-strings= dns-result-order: enable-etw-stack-walking= "
	"enable-fips enable-fips-indicator-events enable-network-family-autoselection "
	"enable-source-maps entry-url! env-file: env-file-if-exists: "
	"es-module-specifier-resolution? eval! experimental-abortcontroller "
	"experimental-addon-modules experimental-async-context-frame experimental-bench "
	"experimental-config-file! experimental-default-config-file! experimental-default-type: "
	"experimental-detect-module experimental-dtls experimental-eventsource experimental-fetch "
	"experimental-ffi experimental-global-customevent experimental-global-navigator "
	"experimental-global-webcrypto experimental-import-meta-resolve experimental-import-text "
	"experimental-inspector-network-resource experimental-json-modules experimental-loader: "
	"experimental-modules experimental-network-imports experimental-network-inspection "
	"experimental-package-map: experimental-permission experimental-policy: "
	"experimental-print-required-tla experimental-quic experimental-repl-await "
	"experimental-report experimental-require-module experimental-sea-config! "
	"experimental-shadow-realm experimental-specifier-resolution? experimental-sqlite "
	"experimental-storage-inspection experimental-stream-iter experimental-strip-types "
	"experimental-test-coverage experimental-test-isolation: experimental-test-module-mocks "
	"experimental-test-snapshots experimental-test-tag-filter: experimental-top-level-await "
	"experimental-transform-types experimental-vfs experimental-vm-modules "
	"experimental-wasi-unstable-preview1 experimental-wasm-modules experimental-web-worker "
	"experimental-websocket experimental-webstorage experimental-worker "
	"experimental-worker-inspection expose-gc= expose-internals extra-info-on-fatal-exception "
	"force-async-hooks-checks force-context-aware force-fips= "
	"force-node-api-uncaught-exceptions-policy frozen-intrinsics gc-global= gc-interval= "
	"global-search-paths harmony= harmony-shadow-realm= heap-growing-percent= heap-prof "
	"heap-prof-dir: heap-prof-interval: heap-prof-name: heapsnapshot-near-heap-limit: "
	"heapsnapshot-signal: help! http-parser huge-max-old-generation-size= icu-data-dir: import: "
	"initial-heap-size= initial-old-space-size= input-type! insecure-http-parser inspect= "
	"inspect-brk= inspect-brk-node= inspect-port: inspect-publish-uid: inspect-wait= "
	"interactive interpreted-frames-native-stack= jitless= lite-mode= loader: "
	"localstorage-file: maglev= max-heap-size= max-http-header-size: max-inlined-bytecode-size= "
	"max-lazy= max-old-space-size= max-old-space-size-percentage: max-semi-space-size= "
	"min-semi-space-size= napi-modules network-family-autoselection "
	"network-family-autoselection-attempt-timeout: node-memory-debug node-snapshot "
	"openssl-config: openssl-legacy-provider openssl-shared-config opt= optimize-for-size= "
	"pending-deprecation perf-basic-prof= perf-basic-prof-only-functions= perf-prof= "
	"perf-prof-unwinding-info= permission permission-audit policy-integrity: predictable= "
	"preserve-symlinks preserve-symlinks-main print! process-timeout: prof= prof-process! "
	"random-seed= redirect-warnings: report-compact report-dir: report-directory: "
	"report-exclude-env report-exclude-network report-filename: report-on-fatalerror "
	"report-on-process-timeout report-on-signal report-signal: report-uncaught-exception "
	"require: require-module run! secure-heap: secure-heap-min: security-revert: "
	"security-reverts: semi-space-growth-factor= single-threaded= snapshot-blob: sparkplug= "
	"stack-size= stack-trace-limit? strip-types test! test-concurrency: test-coverage-branches: "
	"test-coverage-exclude: test-coverage-functions: test-coverage-include: "
	"test-coverage-include-all test-coverage-lines: test-force-exit test-global-setup: "
	"test-isolation: test-name-pattern: test-only test-random-seed: test-randomize "
	"test-reporter: test-reporter-destination: test-rerun-failures: test-shard: "
	"test-skip-pattern: test-timeout: test-udp-no-try-send test-update-snapshots "
	"throw-deprecation title: tls-cipher-list: tls-keylog: tls-max-v1.2 tls-max-v1.3 "
	"tls-min-v1.0 tls-min-v1.1 tls-min-v1.2 tls-min-v1.3 trace-atomics-wait trace-deopt= "
	"trace-deprecation trace-env trace-env-js-stack trace-env-native-stack "
	"trace-event-categories: trace-event-file-pattern: trace-events-enabled trace-exit "
	"trace-gc= trace-gc-verbose= trace-opt= trace-promises trace-require-module: trace-sigint "
	"trace-sync-io trace-tls trace-uncaught trace-warnings track-heap-objects turbo-filter= "
	"turbofan= unhandled-rejections: use-bundled-ca use-env-proxy use-largepages: "
	"use-openssl-ca use-strict= use-system-ca v8-options! v8-pool-size: verify-base-objects "
	"version! vfs-load! warnings watch watch-kill-signal: watch-path: watch-preserve-output "
	"webstorage worker-snapshot zero-fill-buffers";

static const char deno_words[] =
	"allow-all allow-env= allow-ffi= allow-import= allow-net= allow-read= allow-run= "
	"allow-scripts= allow-sys= allow-write= cached-only cert: check= conditions: config: "
	"coverage= deny-env= deny-ffi= deny-import= deny-net= deny-read= deny-run= deny-sys= "
	"deny-write= env-file= ext: frozen-lockfile= help! hmr= host: ignore-env= ignore-read= "
	"import-map: inspect= inspect-brk= inspect-publish-uid: inspect-wait= location: lock? "
	"log-level: min-dep-age: no-check= no-clear-screen no-code-cache no-config no-lock no-npm "
	"no-prompt no-remote node-modules-dir= node-modules-linker: open parallel permission-set= "
	"port: preload: quiet reload= require: seed: unsafely-ignore-certificate-errors= "
	"use-env-proxy v8-flags= vendor= version! watch= watch-exclude= watch-hmr= "
	/* of earlier versions */
	"allow-hrtime env= frozen= lock-write unstable unstable-*";

static const char bun_words[] =
	"bun check! conditions: config? console-depth: cpu-prof cpu-prof-dir: cpu-prof-interval: "
	"cpu-prof-md cpu-prof-name: cron-period! cron-title! cwd! define: disable-warning: "
	"dns-result-order: drop: elide-lines! env-file: eval! experimental-http2-fetch "
	"experimental-http3-fetch experimental-stream-iter expose-gc extension-order: feature: "
	"fetch-preconnect: filter! heap-prof heap-prof-dir: heap-prof-interval: heap-prof-md "
	"heap-prof-name: help! hot if-present! ignore-dce-annotations import: insecure-http-parser "
	"inspect? inspect-brk? inspect-wait? install: interactive! jsx-factory: jsx-fragment: "
	"jsx-import-source: jsx-runtime: jsx-side-effects loader: main-fields: "
	"max-http-header-size: no-addons no-clear-screen no-deprecation no-env-file "
	"no-exit-on-error no-ffi-cc no-install no-macros no-orphans no-warnings parallel! "
	"pending-deprecation port: prefer-latest prefer-offline preload: preserve-symlinks "
	"preserve-symlinks-main print! redirect-warnings: redis-preconnect require: revision! "
	"sequential! shell! silent smol sql-preconnect throw-deprecation title: tls-max-v1.2 "
	"tls-max-v1.3 tls-min-v1.0 tls-min-v1.1 tls-min-v1.2 tls-min-v1.3 trace-deprecation "
	"trace-warnings tsconfig-override: unhandled-rejections: use-bundled-ca use-openssl-ca "
	"use-system-ca user-agent: version! watch watch-kill-signal: workspaces! zero-fill-buffers";

static const char java_words[] =
	"-add-exports: -add-modules: -add-opens: -add-reads: -class-path: -describe-module! -dry-run! "
	"-enable-native-access: -enable-preview -finalization= -help! -help-extra! "
	"-illegal-native-access= -limit-modules: -list-modules! -module! -module-path: "
	"-patch-module: -show-module-resolution -show-version -source! -upgrade-module-path: "
	"-validate-modules! -version! D* XX:* Xbatch Xbootclasspath/a:* Xcheck:* Xcomp Xdebug Xint "
	"Xlog:* Xmixed Xmn* Xms* Xmx* Xnoclassgc Xrs Xrunjdwp:* Xss* Xverify:* agentlib:* agentpath:* "
	"classpath: client cp: d! da da:* disableassertions disableassertions:* "
	"disablesystemassertions dsa ea ea:* enableassertions enableassertions:* "
	"enablesystemassertions esa fullversion! h! help! jar> javaagent:* m! p: server showversion "
	"verbose verbose:* version!";

static const char fish_words[] =
	"command! debug: debug-output: debug-stack-frames: features: help! init-command: interactive "
	"login no-config no-execute! print-debug-categories! print-rusage-self private profile: "
	"profile-startup: version!";

static const char php_words[] =
	"define: docroot! file< help! hide-args info! ini! interactive! modules! no-chdir no-header "
	"no-php-ini php-ini: process-begin! process-code! process-end! process-file! "
	"profile-info run! server! strip! syntax-check! syntax-highlight! syntax-highlighting! usage! "
	"version! zend-extension:";

static const char ruby_words[] =
	"backtrace-limit? copyright! debug disable: dump! enable: encoding: external-encoding: help! "
	"internal-encoding: jit mjit rjit version! yjit";

static const char bash_words[] =
	"debug debugger dump-po-strings! dump-strings! help! init-file: login noediting noprofile norc "
	"posix pretty-print! rcfile: restricted verbose version!";

/* `--` and the name of any option of set -o: these are the ones that scripts are started with. */
static const char zsh_words[] =
	"emulate: err-exit errexit extended-glob extendedglob help! interactive login no-globalrcs "
	"no-rcs no-unset noglobalrcs norcs nounset pipefail verbose version! xtrace";

static const char ksh_words[] =
	"errexit interactive login noglob norc nounset pipefail posix verbose xtrace";

#define SHELL (TAKES_PLUS | DASH_ENDS_OPTIONS | NO_EQUALS)

static const struct interpreter interpreters[] = {
	{
		.names = "python pypy",
		.tails = "t d td m dm mu dbg nogil",
		.letters = "bBdEiIOPqRsStuvxW:X:c!m!h!?!V!",
		.words =
			"check-hash-based-pycs: help! help-all! help-env! help-xoptions! info! jit: "
			"version!",
		.traits = NO_EQUALS,
	},
	{
		.names = "python2",
		.tails = "d dbg",
		.letters = "3bBdEiORsStuUvxQ:W:c!m!h!?!V!",
		.words = "help! version!",
	},
	{
		.names = "node nodejs",
		.letters = "ir:C:c!e!h!p!v!",
		.words = node_words,
		.commands = "inspect! debug!",
		.traits = LIKE_NODE,
	},
	{
		.names = "bash rbash",
		.tails = "static",
		.letters = "abefhiklmpruvxBCEHPTo&O&c!s!n!t!D!",
		.words = bash_words,
		.traits = SHELL | WORDS_FIRST | WORDS_AFTER_ONE_DASH,
	},
	{
		.names = "dash ash",
		.letters = "abCeEfIilmpuvVxo&c!s!n!",
		.words = "",
		.traits = SHELL,
	},
	/* Of whatever make: what all of them agree on. */
	{
		.names = "sh",
		.letters = "abCeEfhilmpuvxo,c!s!n!",
		.words = "login noprofile norc posix",
		.traits = SHELL | WORDS_FIRST,
	},
	{
		.names = "zsh",
		.tails = "static",
		.letters = "0123456789BCDEFGHIJKLMNOPQRSTUVWXYZadefghiklmprtuvwxyo:b!c!n!s!",
		.words = zsh_words,
		.traits = SHELL,
	},
	{
		.names = "ksh rksh",
		.letters = "abefhiklmprtuvxBCEGHo:c!n!s!",
		.words = ksh_words,
		.traits = SHELL,
	},
	{
		.names = "mksh lksh rmksh rlksh",
		.tails = "static",
		.letters = "abefhiklmprtuvxCUXo:c!n!s!",
		.words = "",
		.traits = SHELL,
	},
	{
		.names = "fish",
		.letters = "ilNPC:d:D:f:o:p:c!h!n!v!",
		.words = fish_words,
	},
	{
		.names = "perl",
		.tails = "x86_64-linux-gnu aarch64-linux-gnu",
		.letters = "agnpstTUwWXf0#l#C=D=F=i=I:m+M+c!d!e!E!h!?!S!u!v!V!x!",
		.words = "help! version!",
	},
	{
		.names = "ruby",
		.letters = "adlnpsUvw0#W#F=i=E:I:r:c!C!e!h!K!S!T!x!X!y!",
		.words = ruby_words,
	},
	{
		.names = "php php-cli",
		.letters = "CeHnqc:d:z:f<a!b!B!E!F!h!i!l!m!r!R!s!S!t!v!w!?!",
		.words = php_words,
		.traits = DASHES_END_SEARCH,
	},
	{
		.names = "lua",
		.letters = "EivWe:l:",
		.words = "",
		.traits = LETTERS_ALONE,
	},
	{
		.names = "luajit",
		.tails = "beta1 beta2 beta3",
		.letters = "EivO=e:j:l:b!",
		.words = "",
		.traits = LETTERS_ALONE,
	},
	{
		.names = "java",
		.words = java_words,
		.operand = OPERAND_JAVA,
	},
	{
		.names = "deno",
		.letters = "AqE?I?N?P?R?r?S?W?c:L:h!V!",
		.words = deno_words,
		.commands = "run serve",
		.operand = OPERAND_PATHLIKE,
	},
	{
		.names = "bun",
		.letters = "bc?d:l:r:e!F!h!i!p!v!",
		.words = bun_words,
		.commands = "run",
		.operand = OPERAND_PATHLIKE,
	},
	{
		.names = "tclsh",
		.words = "encoding:",
		.traits = NO_EQUALS | DASHES_END_SEARCH,
	},
	/* Rscript executes R's shell script, and that executes R. */
	{
		.names = "Rscript",
		.letters = "e!",
		.words =
			"default-packages? no-echo no-environ no-init-file no-restore no-save no-site-file "
			"vanilla verbose",
		.traits = DASHES_END_SEARCH,
	},
	{
		.names = "R",
		.letters = "qse!f>",
		.words =
			"file> no-echo no-environ no-init-file no-restore no-save no-site-file quiet "
			"silent slave vanilla",
		.operand = OPERAND_NONE,
		.traits = DASHES_END_SEARCH,
	},
	/* `ld.so ./program` runs a program that the kernel saw no exec of. */
	{
		.names = "ld-linux",
		.words =
			"-argv0: -audit: -glibc-hwcaps-mask: -glibc-hwcaps-prepend: -inhibit-cache "
			"-inhibit-rpath: -library-path: -preload:",
		.operand = OPERAND_WITH_SLASH,
		.traits = NO_EQUALS | ANY_TAIL,
	},
	{
		.names = "ld-musl",
		.words = "-argv0: -library-path: -preload:",
		.operand = OPERAND_WITH_SLASH,
		.traits = ANY_TAIL,
	},
};

bool interpreter_lists(const char *list, const char *word, size_t len, char *ret_mark)
{
	while (list && *list) {
		size_t n = strcspn(list, " ");
		size_t bare = strcspn(list, " :=?><!*");

		/* "XX:*" and its like have a colon in the word. */
		if (n && list[n - 1] == '*')
			bare = n - 1;
		if (list[bare] == '*' ? len > bare && memcmp(list, word, bare) == 0
				      : len == bare && memcmp(list, word, len) == 0) {
			*ret_mark = bare < n ? list[bare] : INTERPRETER_FLAG;
			return true;
		}
		list += n + (list[n] == ' ');
	}
	return false;
}

/* "python3.11" is python and "python3.13t" too; "pythonista" is not. */
static bool is_called(const struct interpreter *in, const char *file, const char *name, size_t len)
{
	const char *tail = file + len;
	char mark;

	if (strncmp(file, name, len) != 0)
		return false;
	if (in->traits & ANY_TAIL)
		return *tail == '-';
	tail += strspn(tail, "0123456789.-");
	return !*tail ||
	       (tail > file + len && interpreter_lists(in->tails, tail, strlen(tail), &mark));
}

const struct interpreter *interpreter_find(const char *file)
{
	const struct interpreter *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < sizeof(interpreters) / sizeof(*interpreters); i++) {
		const struct interpreter *in = &interpreters[i];

		for (const char *name = in->names; *name; name += strspn(name, " ")) {
			size_t len = strcspn(name, " ");

			if (len > longest && is_called(in, file, name, len)) {
				best = in;
				longest = len;
			}
			name += len;
		}
	}
	return best;
}
