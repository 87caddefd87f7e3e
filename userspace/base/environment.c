// SPDX-License-Identifier: Apache-2.0
#include "base/environment.h"

#include <string.h>

/*
 * A name stands here when whoever sets it decides what code is run, or has another program started.
 * PATH, HOME and SHELL don't: they are set always, and would say nothing. What decides only which
 * data is read (locales, certificates, proxies) doesn't either.
 */
static const char *const names[] = {
	/* ld.so(8) and the C library */
	[0] = "LD_PRELOAD",
	[1] = "LD_LIBRARY_PATH",
	[2] = "LD_AUDIT",
	[3] = "LD_ORIGIN_PATH",
	[4] = "GLIBC_TUNABLES",
	[5] = "GCONV_PATH",
	/* shells */
	[6] = "BASH_ENV",
	[7] = "ENV",
	[8] = "BASH_FUNC_*",
	[9] = "SHELLOPTS",
	[10] = "BASHOPTS",
	[11] = "BASH_LOADABLES_PATH",
	[12] = "PROMPT_COMMAND",
	[13] = "PS4",
	[14] = "FPATH",
	[15] = "ZDOTDIR",
	/* Python */
	[16] = "PYTHONPATH",
	[17] = "PYTHONHOME",
	[18] = "PYTHONSTARTUP",
	[19] = "PYTHONINSPECT",
	[20] = "PYTHONUSERBASE",
	[21] = "PYTHONPLATLIBDIR",
	[22] = "PYTHONBREAKPOINT",
	[23] = "PYTHONWARNINGS",
	[24] = "PYTHONPYCACHEPREFIX",
	[25] = "PYTEST_ADDOPTS",
	[26] = "PYTEST_PLUGINS",
	/* JavaScript */
	[27] = "NODE_OPTIONS",
	[28] = "NODE_PATH",
	[29] = "NODE_REPL_EXTERNAL_MODULE",
	[30] = "NODE_COMPILE_CACHE",
	[31] = "ELECTRON_RUN_AS_NODE",
	[32] = "npm_config_*",
	[33] = "yarn_*",
	[34] = "DENO_DIR",
	[35] = "DENO_V8_FLAGS",
	[36] = "BUN_BE_BUN",
	[37] = "BUN_OPTIONS",
	[38] = "BUN_INSPECT_PRELOAD",
	[39] = "BUN_RUNTIME_TRA*",
	/* Perl, Ruby, PHP, Lua */
	[40] = "PERL5LIB",
	[41] = "PERLLIB",
	[42] = "PERL5OPT",
	[43] = "PERL5DB",
	[44] = "RUBYLIB",
	[45] = "RUBYOPT",
	[46] = "RUBYPATH",
	[47] = "GEM_HOME",
	[48] = "GEM_PATH",
	[49] = "BUNDLE_GEMFILE",
	[50] = "BUNDLE_PATH",
	[51] = "PHPRC",
	[52] = "PHP_INI_SCAN_DIR",
	[53] = "LUA_*",
	/* Java, .NET */
	[54] = "JAVA_TOOL_OPTIONS",
	[55] = "_JAVA_OPTIONS",
	[56] = "JDK_JAVA_OPTIONS",
	[57] = "CLASSPATH",
	[58] = "DOTNET_STARTUP_HOOKS",
	[59] = "DOTNET_ADDITIONAL_DEPS",
	[60] = "DOTNET_SHARED_STORE",
	[61] = "DOTNET_ROOT",
	[62] = "CORECLR_*",
	[63] = "MONO_PATH",
	[64] = "MONO_ENV_OPTIONS",
	/* R, Julia, Erlang */
	[65] = "R_LIBS",
	[66] = "R_LIBS_USER",
	[67] = "R_PROFILE",
	[68] = "R_PROFILE_USER",
	[69] = "JULIA_LOAD_PATH",
	[70] = "JULIA_DEPOT_PATH",
	[71] = "ERL_LIBS",
	[72] = "ERL_FLAGS",
	/* git */
	[73] = "GIT_SSH",
	[74] = "GIT_SSH_COMMAND",
	[75] = "GIT_EXEC_PATH",
	[76] = "GIT_EDITOR",
	[77] = "GIT_SEQUENCE_EDITOR",
	[78] = "GIT_PAGER",
	[79] = "GIT_ASKPASS",
	[80] = "GIT_EXTERNAL_DIFF",
	[81] = "GIT_PROXY_COMMAND",
	[82] = "GIT_TEMPLATE_DIR",
	[83] = "GIT_DIR",
	[84] = "GIT_COMMON_DIR",
	[85] = "GIT_CONFIG*",
	/* programs that others start */
	[86] = "EDITOR",
	[87] = "VISUAL",
	[88] = "PAGER",
	[89] = "BROWSER",
	[90] = "LESSOPEN",
	[91] = "LESSCLOSE",
	[92] = "SSH_ASKPASS",
	[93] = "RSYNC_RSH",
	[94] = "TAR_OPTIONS",
	/* builds */
	[95] = "MAKEFLAGS",
	[96] = "MAKEFILES",
	[97] = "GCC_EXEC_PREFIX",
	[98] = "COMPILER_PATH",
	[99] = "RUSTC_WRAPPER",
	[100] = "CARGO_BUILD_*",
	[101] = "CARGO_TARGET_*",
	[102] = "GOFLAGS",
	/* libraries that load others */
	[103] = "OPENSSL_CONF",
	[104] = "OPENSSL_ENGINES",
	[105] = "OPENSSL_MODULES",
	[106] = "GTK_MODULES",
	[107] = "GIO_MODULE_DIR",
	[108] = "QT_PLUGIN_PATH",
	[109] = "LIBGL_DRIVERS_PATH",
	[110] = "VK_LAYER_PATH",
	[111] = "CUDA_INJECTION64_PATH",
};

const size_t environment_count = sizeof(names) / sizeof(*names);

const char *environment_name(unsigned int number)
{
	return number < environment_count ? names[number] : NULL;
}

int environment_number(const char *name)
{
	for (size_t i = 0; i < environment_count; i++)
		if (names[i] && !strcmp(names[i], name))
			return i;
	return -1;
}
