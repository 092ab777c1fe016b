#include "cli/dead/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "cli/base/json_text.h"
#include "cli/base/text.h"
#include "cli/show/failure_text.h"
#include "cli/show/report.h"
#include "core/base/clock.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

constexpr int kInputColumns = 28;  // of a name in a table on a terminal
constexpr size_t kLogLines = 5;    // of the log's end

std::string StageText(const json& letter) {
  return Joined({Text(letter, "stage"), Text(letter, "codec")}, "/");
}

// Returns the error that the job died of: from the report, or without one from the letter.
json ErrorOf(const json& letter) {
  const json& error = Member(Member(letter, "report"), "error");
  if (error.is_object()) return error;
  json context = json::object();
  for (const char* fact : {"stage", "codec"}) {
    if (!Member(letter, fact).is_null()) context[fact] = letter[fact];
  }
  return {{"code", Member(letter, "code")},
          {"blame", Member(letter, "blame")},
          {"detail", Member(letter, "detail")},
          {"context", context}};
}

std::string DescribeInput(const json& letter) {
  const json& report = Member(letter, "report");
  const json& facts = Member(report, "input_facts");
  const json& input = Member(report, "input");
  return Joined({Text(letter, "input_name"),
                 Whole(facts, "bytes") > 0 ? FormatBytes(Whole(facts, "bytes")) : "",
                 Text(input, "upload"), Text(input, "path")},
                ", ");
}

std::string NamesOfOutputs(const json& report) {
  std::vector<std::string> names;
  for (const json& output : Member(Member(report, "spec"), "outputs")) {
    names.push_back(Text(output, "name"));
  }
  return Joined(names, ", ");
}

std::string DescribeFailure(const json& letter) {
  const json error = ErrorOf(letter);
  const json& report = Member(letter, "report");
  const json& media = Member(report, "media");
  return Line("error", Text(error, "detail")) + Line("", DescribeBlame(error)) +
         Line("must act", WhoMustAct(error)) + DescribeFacts(error) +
         Line("input", DescribeInput(letter)) +
         Line("media", media.is_object() ? DescribeMediaInALine(media) : "") +
         Line("asked for", NamesOfOutputs(report)) +
         Line("external id", Text(report, "external_id")) +
         Line("died",
              TimeText(letter, "died_at") + ", in generation " + Text(letter, "generation")) +
         Line("signature",
              Joined({Text(letter, "signature"), Text(letter, "signature_text")}, "  "));
}

std::string Took(const json& attempt) {
  if (!Member(attempt, "finished_at").is_string()) return "";
  try {
    const auto time = ParseTime(attempt.at("finished_at").get<std::string>()) -
                      ParseTime(attempt.at("started_at").get<std::string>());
    return FormatShortDuration(std::chrono::duration<double>(time).count());
  } catch (const std::exception&) {
    return "";  // a report of another version
  }
}

std::string ProcessEnd(const json& usage) {
  if (const auto signal = static_cast<int>(Whole(usage, "signal")); signal > 0) {
    const char* name = sigabbrev_np(signal);
    return name == nullptr ? fmt::format("signal {}", signal)
                           : fmt::format("SIG{} ({})", name, signal);
  }
  const std::string status = Text(usage, "exit_status");
  return status.empty() ? "" : "exit " + status;
}

std::string AttemptsTable(const json& attempts, std::optional<int> columns) {
  std::vector<std::vector<std::string>> rows = {
      {"  FENCE", "WORKER", "STARTED", "TOOK", "OUTCOME", "PEAK MEMORY", "PROCESS", "ERROR"}};
  for (const json& attempt : attempts) {
    const json& failure = Member(attempt, "failure");
    const json& usage = Member(failure, "usage");
    const json& error = Member(failure, "error");
    const int64_t peak = Whole(usage, "peak_rss_bytes");
    rows.push_back({"  " + Text(attempt, "fence"), Text(attempt, "worker"),
                    TimeText(attempt, "started_at"), Took(attempt), Text(attempt, "outcome"),
                    peak > 0 ? FormatBytes(peak) : "", ProcessEnd(usage),
                    Joined({Text(error, "code"), Text(error, "detail")}, ": ")});
  }
  return FormatTable(rows, columns);
}

// Returns the last lines of the newest log that is not empty.
std::string LogEnd(const json& attempts, std::optional<int> columns) {
  for (auto attempt = attempts.rbegin(); attempt != attempts.rend(); ++attempt) {
    const json& tail = Member(Member(*attempt, "failure"), "log_tail");
    if (!tail.is_array() || tail.empty()) continue;
    std::string text = "\nThe end of the log\n";
    for (size_t i = tail.size() - std::min(tail.size(), kLogLines); i < tail.size(); ++i) {
      const std::string line =
          "  " + Printable(tail[i].is_string() ? tail[i].get<std::string>() : "");
      text += (columns ? Truncated(line, *columns) : line) + "\n";
    }
    return text;
  }
  return "";
}

std::string DescribeAttempts(const json& report, std::optional<int> columns) {
  const json& attempts = Member(report, "attempts");
  if (!attempts.is_array()) return "";
  if (attempts.empty()) return "\nNo attempt was made.\n";
  return "\nAttempts\n" + AttemptsTable(attempts, columns) + LogEnd(attempts, columns);
}

std::string DescribeFiles(const json& letter, const std::optional<std::filesystem::path>& folder) {
  const json& files = Member(letter, "files");
  if (!files.is_array() || files.empty()) {
    return "\nIts folder is gone: " + Text(letter, "state") + " " + TimeText(letter, "closed_at") +
           "\n";
  }
  std::string text =
      folder ? "\nFiles, in " + folder->string() + "\n" : "\nFiles, in its dead-letter folder\n";
  std::vector<std::vector<std::string>> rows;
  for (const json& file : files) {
    rows.push_back({"  " + Text(file, "name"), FormatBytes(Whole(file, "bytes"))});
  }
  return text + FormatTable(rows);
}

bool HasFile(const json& letter, const std::string& name) {
  const json& files = Member(letter, "files");
  return std::any_of(files.begin(), files.end(),
                     [&](const json& file) { return Text(file, "name") == name; });
}

std::string Command(const std::string& command, const std::string& meaning) {
  const int width = std::max(60, DisplayWidth(command) + 2);
  return "  " + Padded(command, width) + meaning + "\n";
}

std::string HowToRepeat(const json& letter, const std::optional<std::filesystem::path>& folder) {
  if (!HasFile(letter, "repro.sh")) return "";
  const std::string job = Text(letter, "job");
  std::string text =
      "\nTo repeat the failing attempt (millrace-encode in PATH or $MILLRACE_ENCODE)\n";
  if (folder && HasFile(letter, "input")) text += "  " + (*folder / "repro.sh").string() + "\n";
  return text + "  millrace dead fetch " + job + " && ./" + job + "/repro.sh\n";
}

std::string WhatNext(const json& letter) {
  const std::string job = Text(letter, "job");
  const std::string signature = Text(letter, "signature");
  std::string text = "\nWhat can be done\n";
  if (Text(letter, "state") != "open") {
    return text + Command("millrace show " + job, "the job as it is now; this letter is closed");
  }
  text += Command("millrace dead log " + job, "the encoder's log");
  if (!signature.empty()) {
    text += Command("millrace dead ls --signature " + signature,
                    "the jobs that failed in the same way");
  }
  if (Text(letter, "blame") == "request") {
    text += Command("millrace dead redrive " + job + " --spec '{…}'", "try it with a changed spec");
  }
  text += Command("millrace dead redrive " + job, "try it again, once the cause is mended");
  return text + Command("millrace dead purge " + job, "remove its folder; a record stays");
}

}  // namespace

std::string DeadLettersTable(const json& letters, std::optional<int> columns) {
  std::vector<std::vector<std::string>> rows = {
      {"JOB", "DIED", "CODE", "BLAME", "STAGE", "INPUT", "DETAIL"}};
  for (const json& letter : letters) {
    const std::string input = Text(letter, "input_name");
    rows.push_back({Text(letter, "job"), TimeText(letter, "died_at"), Text(letter, "code"),
                    Text(letter, "blame"), StageText(letter),
                    columns ? Truncated(input, kInputColumns) : input, Text(letter, "detail")});
  }
  return FormatTable(rows, columns);
}

std::string DeadGroupsTable(const json& groups, std::optional<int> columns) {
  std::vector<std::vector<std::string>> rows = {
      {"COUNT", "INPUTS", "SIGNATURE", "FIRST", "LAST", "EXAMPLE", "WHAT"}};
  for (const json& group : groups) {
    rows.push_back({Text(group, "count"), Text(group, "inputs"), Text(group, "signature"),
                    TimeText(group, "first_at"), TimeText(group, "last_at"),
                    Text(group, "example_job"), Text(group, "signature_text")});
  }
  return FormatTable(rows, columns);
}

std::string DescribeDeadLetter(const json& letter,
                               const std::optional<std::filesystem::path>& folder,
                               std::optional<int> columns) {
  const std::string state = Text(letter, "state");
  std::string title = Text(letter, "job") + "  dead letter, " + state;
  if (state != "open") title += " " + TimeText(letter, "closed_at");
  return title + "\n" + DescribeFailure(letter) +
         DescribeAttempts(Member(letter, "report"), columns) + DescribeFiles(letter, folder) +
         HowToRepeat(letter, folder) + WhatNext(letter);
}

}  // namespace millrace::cli
