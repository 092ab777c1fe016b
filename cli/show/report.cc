#include "cli/show/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "cli/base/client_options.h"
#include "cli/base/json_text.h"
#include "cli/base/text.h"
#include "cli/show/failure_text.h"
#include "cli/show/progress_row.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

std::string DescribeVideo(const json& video) {
  std::string text = "video " + Text(video, "codec");
  const char* width = video.contains("display_width") ? "display_width" : "width";
  const char* height = video.contains("display_height") ? "display_height" : "height";
  if (Number(video, width) > 0) text += " " + Text(video, width) + "x" + Text(video, height);
  if (Number(video, "fps") > 0) text += fmt::format(" {:.4g} fps", Number(video, "fps"));
  if (Number(video, "rotation_degrees") != 0) {
    text += " turned by " + Text(video, "rotation_degrees");
  }
  return text;
}

std::string DescribeAudio(const json& audio) {
  std::string text = "audio " + Text(audio, "codec");
  if (Number(audio, "channels") > 0) text += " " + Text(audio, "channels") + " ch";
  if (Number(audio, "sample_rate") > 0) text += " " + Text(audio, "sample_rate") + " Hz";
  return text;
}

std::string DescribeStream(const json& stream) {
  const std::string kind = Text(stream, "kind");
  if (kind == "video") return DescribeVideo(stream);
  if (kind == "audio") return DescribeAudio(stream);
  return kind + " " + Text(stream, "codec");
}

std::string DescribeLabels(const json& labels) {
  std::vector<std::string> parts;
  if (labels.is_object()) {
    for (const auto& [name, value] : labels.items()) {
      parts.push_back(Printable(name) + "=" + Text(labels, name.c_str()));
    }
  }
  return Joined(parts, ", ");
}

std::string DescribeFiles(const json& job) {
  std::string text;
  for (const json& output : Member(job, "outputs")) {
    for (const json& file : Member(output, "files")) {
      text += Line(Text(file, "path"), DescribeFile(file));
    }
  }
  return text;
}

std::string DescribeWarnings(const json& job) {
  std::string text;
  for (const json& warning : Member(job, "warnings")) {
    text += Line("warning", Text(warning, "detail") + " (" + Text(warning, "code") + ")");
  }
  return text;
}

// Advises after a request with an unknown outcome.
std::string DescribeUncertainty(const json& context) {
  const std::string key = Text(context, "idempotency_key");
  if (key.empty()) return "  It may have been done nevertheless: check before you repeat it.\n";
  const std::string upload = Text(context, "upload");
  const std::string url = Text(context, "url");
  const std::string where =
      url.empty() || url == ClientOptions().url ? "" : " --url " + ShellQuoted(url);
  return "  The job may exist nevertheless. To get it, and not a second one, repeat this with the\n"
         "  same options and the same key:\n"
         "    millrace submit " +
         (upload.empty() ? "…" : ShellQuoted(upload)) + " --idempotency-key " + ShellQuoted(key) +
         where + "\n";
}

std::string Words(const std::string& name) {
  std::string words = Printable(name);
  std::ranges::replace(words, '_', ' ');
  return words;
}

// "3 rounds, removed 12 uploads, 1 work"
std::string DescribeJanitor(const json& janitor) {
  std::vector<std::string> removed;
  for (const auto& [name, count] : Member(janitor, "removed").items()) {
    if (count != 0) removed.push_back(count.dump() + " " + Words(name));
  }
  return Text(janitor, "rounds") + " rounds, removed " +
         (removed.empty() ? "nothing" : Joined(removed, ", "));
}

// "idle", or "idle, breaker open" for a worker that gets no tasks because too many failed there.
std::string WorkerState(const json& worker) {
  const std::string breaker = Text(Member(worker, "breaker"), "state");
  const std::string state = Text(worker, "state");
  if (breaker.empty() || breaker == "closed") return state;
  return state + ", breaker " + (breaker == "half_open" ? "half-open" : breaker);
}

}  // namespace

std::string DescribeError(const Error& error) {
  const json& problem = Member(error.context(), "problem");
  std::string text = "millrace: " + Printable(error.what());
  const json& fields = Member(problem, "errors");
  if (fields.is_array() && !fields.empty()) {
    text = "millrace: " + Text(problem, "title");
  }
  if (!problem.is_null()) text += " (" + Text(problem, "code") + ")";
  text += "\n";
  for (const json& field : fields) {
    text += "  " + Text(field, "pointer") + ": " + Text(field, "detail") + "\n";
  }
  if (error.context().value("uncertain", false)) return text + DescribeUncertainty(error.context());
  if (error.context().contains("unreachable")) {
    text += "  Is it running? 'millrace up' starts it; --url or MILLRACE_URL says where it is.\n";
  }
  return text;
}

std::string DescribeJob(const json& job) {
  const json& input = Member(job, "input");
  const ProgressRow row = RowOf(job);
  std::string text = Text(job, "id") + "  " + Text(job, "state") + "\n";
  text +=
      Line("input", Joined({Text(input, "name"),
                            input.contains("bytes") ? FormatBytes(input.value("bytes", 0LL)) : "",
                            Text(input, "upload"), Text(input, "path")},
                           ", "));
  if (row.outcome == ProgressRow::Outcome::kNone) text += Line("progress", RenderPlain(row));
  text += Line("external id", Text(job, "external_id"));
  text += Line("labels", DescribeLabels(Member(job, "labels")));
  text += Line("priority", Text(job, "priority"));
  text += Line("attempt", Text(job, "attempt") + " of at most " + Text(job, "max_attempts"));
  text += Line("worker", Text(job, "worker"));
  text += Line("created", Text(job, "created_at"));
  text += Line("started", Text(job, "started_at"));
  text += Line("finished", Text(job, "finished_at"));
  const json& error = Member(job, "error");
  if (!error.is_null()) {
    text += Line("error", Text(error, "detail")) + Line("", DescribeBlame(error));
    text += DescribeFacts(error);
  }
  return text + DescribeWarnings(job) + DescribeFiles(job);
}

std::string DescribeEnd(const json& job, const std::optional<std::filesystem::path>& dead_letter) {
  const std::string name = Text(Member(job, "input"), "name");
  std::string text = Text(job, "id") + (name.empty() ? "" : " (" + name + ")") + " ";
  if (Text(job, "state") == "dead") {
    const json& error = Member(job, "error");
    text += "failed: " + Text(error, "detail") + "\n";
    text += Line("reason", DescribeBlame(error)) + DescribeFacts(error);
    if (dead_letter) text += Line("dead letter", dead_letter->string());
    return text;
  }
  text += Text(job, "state") + "\n";
  return text + DescribeWarnings(job) + DescribeFiles(job);
}

std::string DescribeFile(const json& file) {
  std::vector<std::string> parts;
  if (const json& video = Member(file, "video"); video.is_object()) {
    const bool picture = Text(file, "media_type").starts_with("image/");
    parts.push_back(picture ? "picture" + DescribeVideo(video).substr(5) : DescribeVideo(video));
  }
  if (const json& audio = Member(file, "audio"); audio.is_object()) {
    parts.push_back(DescribeAudio(audio));
  }
  if (Number(file, "duration_seconds") > 0) {
    parts.push_back(FormatShortDuration(Number(file, "duration_seconds")));
  }
  parts.push_back(FormatBytes(file.value("bytes", int64_t{0})));
  return Joined(parts, ", ");
}

std::string DescribeMedia(const json& media) {
  std::string text = Joined({Text(media, "format_name"), Text(media, "format")}, ", ") + "\n";
  if (Number(media, "duration_seconds") > 0) {
    text += Line("duration", FormatShortDuration(Number(media, "duration_seconds")));
  }
  text += Line("size", FormatBytes(media.value("bytes", int64_t{0})));
  for (const json& stream : Member(media, "streams")) {
    text += Line("stream " + Text(stream, "index"), DescribeStream(stream));
  }
  return text;
}

std::string DescribeMediaInALine(const json& media) {
  std::vector<std::string> parts = {Text(media, "format_name")};
  if (Number(media, "duration_seconds") > 0) {
    parts.push_back(FormatShortDuration(Number(media, "duration_seconds")));
  }
  for (const json& stream : Member(media, "streams")) parts.push_back(DescribeStream(stream));
  return Joined(parts, ", ");
}

std::string DescribeQueue(const json& queue) {
  std::string text;
  for (const auto& [name, value] : queue.items()) {
    std::string said = Text(queue, name.c_str());
    if (name == "janitor") said = DescribeJanitor(value);
    if (name.ends_with("_bytes") && value.is_number()) said = FormatBytes(value.get<int64_t>());
    text += Padded(Words(name), 24) + said + "\n";
  }
  return text;
}

std::string JobsTable(const json& jobs) {
  std::vector<std::vector<std::string>> rows = {{"JOB", "STATE", "DONE", "CREATED", "INPUT"}};
  for (const json& job : jobs) {
    rows.push_back({Text(job, "id"), Text(job, "state"),
                    Text(Member(job, "progress"), "percent") + "%", Text(job, "created_at"),
                    Text(Member(job, "input"), "name")});
  }
  return FormatTable(rows);
}

std::string PresetsTable(const json& presets) {
  std::vector<std::vector<std::string>> rows = {{"PRESET", "DESCRIPTION"}};
  for (const json& preset : presets) {
    rows.push_back({Text(preset, "name"), Text(preset, "description")});
  }
  return FormatTable(rows);
}

std::string WorkersTable(const json& workers) {
  std::vector<std::vector<std::string>> rows = {
      {"WORKER", "STATE", "BUSY", "CORES", "LAST BEAT", "TASKS"}};
  for (const json& worker : workers) {
    std::vector<std::string> tasks;
    for (const json& task : Member(worker, "tasks")) {
      tasks.push_back(Text(task, "job") + " " + Text(task, "percent") + "%");
    }
    rows.push_back({Text(worker, "name"), WorkerState(worker),
                    Text(worker, "busy_slots") + "/" + Text(worker, "slots"), Text(worker, "cores"),
                    fmt::format("{:.0f} s ago", Number(worker, "last_beat_seconds")),
                    Joined(tasks, ", ")});
  }
  return FormatTable(rows);
}

std::optional<std::filesystem::path> LocalDeadLetter(const std::string& job_id) {
  const char* data_dir = std::getenv("MILLRACE_DATA_DIR");
  const std::filesystem::path folder = std::filesystem::absolute(
      std::filesystem::path(data_dir == nullptr ? "millrace-data" : data_dir) / "dead-letter" /
      job_id);
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) return std::nullopt;
  return folder;
}

}  // namespace millrace::cli
