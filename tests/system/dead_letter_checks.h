#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "core/files.h"
#include "tests/system/service.h"

namespace millrace::harness {

// The folder that a job leaves when its state says `dead`: call it as soon as it does.
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
  EXPECT_NE(report.dump().find(job.at("error").at("code").get<std::string>()), std::string::npos)
      << "the report names the reason";
}

// A problem that tells people what is wrong.
inline void ExpectClearError(const nlohmann::json& job, const std::vector<std::string>& codes) {
  const nlohmann::json& error = job.at("error");
  ASSERT_TRUE(error.is_object()) << job.dump();
  EXPECT_TRUE(std::ranges::count(codes, error.at("code").get<std::string>())) << error.dump();
  EXPECT_GE(error.at("detail").get<std::string>().size(), 10u) << error.dump();
  EXPECT_EQ(error.at("blame"), "media");
}

}  // namespace millrace::harness
