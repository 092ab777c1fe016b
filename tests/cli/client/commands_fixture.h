#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "tests/cli/up/running_program.h"
#include "tests/fakes/fake_http_server.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::cli {

using nlohmann::json;

inline constexpr char kJobId[] = "job_01";

inline FakeHttpReply Json(int status, const json& body) { return {status, body.dump(), {}}; }

inline FakeHttpReply Problem(const Error& error) {
  return Json(error.traits().http_status, ProblemJson(error));
}

inline json JobIn(const std::string& state) {
  return {{"id", kJobId},
          {"state", state},
          {"phase", state},
          {"input", {{"name", "a.mp4"}, {"upload", "upl_1"}, {"bytes", 3}}},
          {"progress", {{"percent", state == "succeeded" ? 100 : 0}}},
          {"attempt", 1},
          {"max_attempts", 5},
          {"outputs", json::array()},
          {"warnings", json::array()},
          {"error", nullptr}};
}

class CommandsTest : public testing::Test {
 protected:
  // Runs `millrace` with the arguments against a fake service that answers with `answer`.
  ProgramResult Run(std::vector<std::string> arguments, FakeHttpServer::Answer answer) {
    const FakeHttpServer server(std::move(answer));
    arguments.insert(arguments.end(), {"--url", server.url()});
    ProgramResult result = RunMillrace(std::move(arguments));
    requests_ = server.requests();
    return result;
  }

  std::string MakeFile(const std::string& name, const std::string& content) const {
    const std::filesystem::path path = dir_.path() / name;
    std::ofstream(path) << content;
    return path.string();
  }

  TempDir dir_;
  std::vector<FakeHttpRequest> requests_;
};

}  // namespace millrace::cli
