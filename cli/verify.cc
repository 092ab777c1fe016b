#include "cli/verify.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cli/up/child_process.h"
#include "core/base/error.h"

namespace millrace::cli {

int RunVerify(const VerifyOptions& options) {
  const std::filesystem::path folder =
      options.programs_dir.empty() ? OwnFolder() : options.programs_dir;
  const std::filesystem::path program = folder / "millrace-broker";
  std::vector<std::string> arguments = {program.string(), "--verify", "--data-dir",
                                        options.data_dir.string()};
  if (options.json) arguments.emplace_back("--json");
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);
  execv(program.c_str(), argv.data());
  throw Error(ErrorCode::kInternal, "cannot run " + program.string() + ": " + std::strerror(errno));
}

}  // namespace millrace::cli
