#include "tests/chaos/collector.h"

#include <sstream>
#include <stdexcept>
#include <utility>

#include "core/base/files.h"
#include "core/base/sha256.h"
#include "tests/system/client.h"
#include "tests/system/program.h"

namespace millrace::chaos {
namespace {

namespace fs = std::filesystem;
using harness::HttpAnswer;
using nlohmann::json;

constexpr std::chrono::seconds kDecodeLimit{60};
constexpr std::chrono::seconds kReproLimit{60};

std::string Sha256Of(const std::string& bytes) {
  Sha256 hash;
  hash.Add(bytes);
  return hash.Finish();
}

// Returns the data of each event of a finished stream.
json EventsOfStream(const std::string& stream) {
  json events = json::array();
  std::istringstream lines(stream);
  bool has_id = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) has_id = false;
    if (line.starts_with("id: ")) has_id = true;
    if (line.starts_with("data: ") && has_id) events.push_back(json::parse(line.substr(6)));
  }
  return events;
}

}  // namespace

Collector::Collector(std::string url, fs::path folder, std::set<std::string>& decoded)
    : http_(std::move(url)), folder_(std::move(folder)), decoded_(decoded) {
  CreateFolders(folder_);
}

HttpAnswer Collector::Get(const std::string& path, bool may_lack) {
  HttpAnswer answer = http_.Send({.path = path});
  if (answer.status != 200 && !(may_lack && answer.status == 404)) {
    throw std::runtime_error("GET " + path + " was answered " + std::to_string(answer.status) +
                             " " + answer.body);
  }
  return answer;
}

JobEvidence Collector::Ask(const JobRecord& record) {
  JobEvidence one{.record = record};
  const std::string path = "/v1/jobs/" + record.id;
  const HttpAnswer answer = Get(path, true);
  if (answer.status == 404) return one;
  one.job = answer.Json();
  one.attempts = Get(path + "/attempts").Json().at("attempts");
  if (!harness::HasEnded(one.job)) return one;  // its event stream never ends
  one.events = Events(record.id);
  for (const json& output : one.job.at("outputs")) {
    for (const json& file : output.at("files")) one.files.push_back(Fetch(file));
  }
  if (one.job.at("state") == "dead") {
    const std::string letter = "/v1/dead-letters/" + record.id;
    const HttpAnswer found = Get(letter, true);
    if (found.status == 200) one.dead_letter = found.Json();
    const HttpAnswer input = Get(letter + "/input", true);
    if (input.status == 200) one.dead_input_sha256 = Sha256Of(input.body);
  }
  return one;
}

json Collector::Events(const std::string& id) {
  return EventsOfStream(Get("/v1/jobs/" + id + "/events").body);
}

json Collector::List() {
  json all = json::array();
  std::string token;
  do {
    const json page = Get("/v1/jobs?page_size=500&page_token=" + token).Json();
    for (const json& job : page.at("jobs")) all.push_back(job);
    token = page.at("next_page_token");
  } while (!token.empty());
  return all;
}

FetchedFile Collector::Fetch(const json& file) {
  FetchedFile fetched{.path = file.at("path"), .claimed_sha256 = file.at("sha256")};
  const HttpAnswer answer = Get(file.at("url"), true);
  if (answer.status != 200) return fetched;
  fetched.sha256 = Sha256Of(answer.body);
  if (decoded_.contains(fetched.sha256)) {
    fetched.decodes = true;
    return fetched;
  }
  const fs::path place = folder_ / ("output" + fs::path(fetched.path).extension().string());
  WriteFileDurably(place, answer.body);
  fetched.decodes = Decodes(place, fetched.sha256);
  return fetched;
}

bool Collector::Decodes(const fs::path& file, const std::string& sha256) {
  const harness::CommandResult result =
      harness::RunCommand({.program = "ffmpeg",
                           .arguments = {"-v", "error", "-nostdin", "-xerror", "-i", file.string(),
                                         "-map", "0", "-f", "null", "-"}},
                          kDecodeLimit);
  const bool decodes = result.end.exit_status == 0 && result.err.empty();
  if (decodes) decoded_.insert(sha256);
  return decodes;
}

std::string Collector::Reproduce(const json& dead_letter) {
  const fs::path letter = folder_ / "letter";
  RemoveTree(letter);
  CreateFolders(letter);
  for (const json& file : dead_letter.at("files")) {
    WriteFileDurably(letter / file.at("name").get<std::string>(), Get(file.at("url")).body);
  }
  const harness::CommandResult result = harness::RunCommand(
      {.program = "sh",
       .arguments = {(letter / "repro.sh").string()},
       .environment = {"MILLRACE_ENCODE=" + harness::ProgramPath("millrace-encode").string(),
                       "TMPDIR=" + folder_.string()}},
      kReproLimit);
  return result.end.exit_status == 0 ? "" : result.out + result.err;
}

}  // namespace millrace::chaos
