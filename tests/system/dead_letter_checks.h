#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/files.h"
#include "tests/system/program.h"
#include "tests/system/service.h"

namespace millrace::harness {

// Runs the folder's own script, with nothing but the encoder.
inline void ExpectReproduced(const std::filesystem::path& folder) {
  const std::filesystem::path scratch = folder.parent_path().parent_path() / "repro";
  std::filesystem::create_directories(scratch);
  const CommandResult result =
      RunCommand({.program = folder / "repro.sh",
                  .arguments = {},
                  .environment = {"MILLRACE_ENCODE=" + ProgramPath("millrace-encode").string(),
                                  "TMPDIR=" + scratch.string()},
                  .folder = {},
                  .out = {},
                  .err = {}},
                 std::chrono::minutes(1));
  EXPECT_EQ(result.end.exit_status, 0) << result.out << result.err;
}

// Checks the folder of a dead job. Call it as soon as the job's state says `dead`.
inline void ExpectCompleteDeadLetter(const Service& service, const nlohmann::json& job,
                                     const std::filesystem::path& input) {
  const std::filesystem::path folder =
      service.data_dir() / "dead-letter" / job.at("id").get<std::string>();
  const std::vector<std::string> files = FilesBelow(folder);
  SCOPED_TRACE("dead letter holds " + nlohmann::json(files).dump());
  ASSERT_TRUE(std::ranges::count(files, "input")) << "the input is kept";
  EXPECT_EQ(ReadWholeFile(folder / "input"), ReadWholeFile(input));
  EXPECT_TRUE(std::ranges::any_of(files, [](const std::string& name) {
    return name.starts_with("log");
  })) << "a log is kept";
  ASSERT_TRUE(std::ranges::count(files, "report.json"));
  const auto report = nlohmann::json::parse(ReadWholeFile(folder / "report.json"));
  EXPECT_EQ(report.at("error").at("code"), job.at("error").at("code"));
  std::vector<std::string> named = report.at("files");
  std::ranges::sort(named);
  EXPECT_EQ(named, files) << "the report names what is in its folder";
  ExpectReproduced(folder);
}

// Checks that a problem explains itself to people.
inline void ExpectClearError(const nlohmann::json& job, const std::vector<std::string>& codes) {
  const nlohmann::json& error = job.at("error");
  ASSERT_TRUE(error.is_object()) << job.dump();
  EXPECT_TRUE(std::ranges::count(codes, error.at("code").get<std::string>())) << error.dump();
  EXPECT_GE(error.at("detail").get<std::string>().size(), 10u) << error.dump();
  EXPECT_EQ(error.at("blame"), "media");
}

}  // namespace millrace::harness
