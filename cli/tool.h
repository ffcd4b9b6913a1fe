#pragma once

namespace knee::cli {

/// The `knee` tool: reads the command line, runs the verb. Gives the exit code; what goes wrong is
/// on stderr.
int run_tool(int argc, char** argv);

/// Wrong use of the tool.
inline constexpr int kUsageError = 2;
/// Knee could not do what it was asked to; as ssh and GNU parallel have it.
inline constexpr int kFailure = 255;

}  // namespace knee::cli
