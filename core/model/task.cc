#include "core/model/task.h"

#include <algorithm>
#include <array>
#include <filesystem>

namespace millrace {
namespace {

struct Transition {
  TaskState from;
  TaskEvent event;
  TaskState to;
};

using enum TaskState;
using enum TaskEvent;

constexpr auto kTransitions = std::to_array<Transition>({
    {kQueued, kLease, kLeased},
    {kQueued, kBlock, kBlocked},
    {kQueued, kCancel, kCancelled},
    {kQueued, kFail, kFailed},  // its ceiling of infrastructure failures is reached
    {kBlocked, kReady, kQueued},
    {kBlocked, kCancel, kCancelled},
    {kLeased, kFinish, kDone},
    {kLeased, kRequeue, kQueued},
    {kLeased, kRetry, kRetryWait},
    {kLeased, kFail, kFailed},
    {kLeased, kCancel, kCancelling},
    {kRetryWait, kDue, kQueued},
    {kRetryWait, kCancel, kCancelled},
    {kCancelling, kStopped, kCancelled},
    {kDone, kRedo, kQueued},
    {kDone, kRedrive, kQueued},
    {kFailed, kRedrive, kQueued},
    {kCancelled, kRedrive, kQueued},
});

constexpr auto kStateNames = std::to_array<std::pair<TaskState, std::string_view>>({
    {kQueued, "queued"},
    {kBlocked, "blocked"},
    {kLeased, "leased"},
    {kRetryWait, "retry_wait"},
    {kCancelling, "cancelling"},
    {kDone, "done"},
    {kFailed, "failed"},
    {kCancelled, "cancelled"},
});

constexpr auto kEventNames = std::to_array<std::pair<TaskEvent, std::string_view>>({
    {kBlock, "block"},
    {kReady, "ready"},
    {kLease, "lease"},
    {kFinish, "finish"},
    {kRequeue, "requeue"},
    {kRetry, "retry"},
    {kDue, "due"},
    {kFail, "fail"},
    {kCancel, "cancel"},
    {kStopped, "stopped"},
    {kRedo, "redo"},
    {kRedrive, "redrive"},
});

// A manifest names files inside the task's own folder and nothing else.
void CheckOutputPath(const std::string& path) {
  const std::filesystem::path parsed(path);
  const bool inside = !path.empty() && parsed.is_relative() &&
                      path.find('\0') == std::string::npos &&
                      std::ranges::none_of(parsed, [](const auto& part) { return part == ".."; });
  if (!inside) {
    throw Error(ErrorCode::kProtocolError, "a manifest names a path outside its folder: " + path);
  }
}

template <typename Read>
auto OrProtocolError(const char* what, Read read) {
  try {
    return read();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError, std::string(what) + ": " + error.what());
  }
}

}  // namespace

std::optional<TaskState> NextState(TaskState state, TaskEvent event) {
  const auto* found = std::ranges::find_if(kTransitions, [&](const Transition& transition) {
    return transition.from == state && transition.event == event;
  });
  if (found == kTransitions.end()) return std::nullopt;
  return found->to;
}

std::string_view NameOf(TaskState state) {
  return std::ranges::find(kStateNames, state, [](const auto& row) { return row.first; })->second;
}

std::string_view NameOf(TaskEvent event) {
  return std::ranges::find(kEventNames, event, [](const auto& row) { return row.first; })->second;
}

std::optional<TaskState> TaskStateFromName(std::string_view name) {
  const auto* found =
      std::ranges::find(kStateNames, name, [](const auto& row) { return row.second; });
  if (found == kStateNames.end()) return std::nullopt;
  return found->first;
}

namespace {

constexpr auto kKindNames = std::to_array<std::pair<TaskKind, std::string_view>>({
    {TaskKind::kTranscode, "transcode"},
    {TaskKind::kProbe, "probe"},
    {TaskKind::kExcerpt, "excerpt"},
});

}  // namespace

std::string_view NameOf(TaskKind kind) {
  return std::ranges::find(kKindNames, kind, &std::pair<TaskKind, std::string_view>::first)->second;
}

std::optional<TaskKind> TaskKindFromName(std::string_view name) {
  const auto* found =
      std::ranges::find(kKindNames, name, &std::pair<TaskKind, std::string_view>::second);
  if (found == kKindNames.end()) return std::nullopt;
  return found->first;
}

namespace {

TaskKind KindFromName(const std::string& name) {
  if (const auto kind = TaskKindFromName(name)) return *kind;
  throw Error(ErrorCode::kInvalidRequest, "unknown kind of task: " + name);
}

nlohmann::json ToJson(const ExcerptSpec& excerpt) {
  nlohmann::json json = nlohmann::json::object();
  if (excerpt.pts_seconds) json["pts_seconds"] = *excerpt.pts_seconds;
  if (excerpt.media_seconds) json["media_seconds"] = *excerpt.media_seconds;
  return json;
}

ExcerptSpec ExcerptFromJson(const nlohmann::json& json) {
  ExcerptSpec excerpt;
  if (json.contains("pts_seconds")) excerpt.pts_seconds = json["pts_seconds"].get<double>();
  if (json.contains("media_seconds")) excerpt.media_seconds = json["media_seconds"].get<double>();
  if (excerpt.pts_seconds.has_value() == excerpt.media_seconds.has_value()) {
    throw Error(ErrorCode::kInvalidRequest,
                "an excerpt is cut about pts_seconds or about media_seconds");
  }
  return excerpt;
}

}  // namespace

nlohmann::json ToJson(const TaskDocument& task) {
  nlohmann::json json = {{"version", TaskDocument::kVersion},
                         {"kind", NameOf(task.kind)},
                         {"task", task.task_id},
                         {"job", task.job_id},
                         {"fence", task.fence},
                         {"attempt", task.attempt},
                         {"input_path", task.input_path},
                         {"input_name", task.input_name},
                         {"output_dir", task.output_dir},
                         {"threads", task.threads}};
  if (task.kind == TaskKind::kTranscode) json["spec"] = ToJson(task.spec);
  if (task.kind == TaskKind::kExcerpt) json["excerpt"] = ToJson(task.excerpt);
  return json;
}

TaskDocument TaskFromJson(const nlohmann::json& json) {
  try {
    if (json.at("version") != TaskDocument::kVersion) {
      throw Error(ErrorCode::kInvalidRequest,
                  "unknown version of a task document: " + json.at("version").dump());
    }
    TaskDocument task;
    task.kind = KindFromName(json.at("kind"));
    json.at("task").get_to(task.task_id);
    json.at("job").get_to(task.job_id);
    json.at("fence").get_to(task.fence);
    json.at("attempt").get_to(task.attempt);
    json.at("input_path").get_to(task.input_path);
    task.input_name = json.value("input_name", "");
    task.output_dir = json.value("output_dir", "");
    task.threads = json.value("threads", 0);
    if (task.kind == TaskKind::kTranscode) task.spec = SpecFromJson(json.at("spec"));
    if (task.kind == TaskKind::kExcerpt) task.excerpt = ExcerptFromJson(json.at("excerpt"));
    return task;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kInvalidRequest, std::string("not a task document: ") + error.what());
  }
}

nlohmann::json ToJson(const Warning& warning) {
  return {{"code", warning.code}, {"detail", warning.detail}};
}

Warning WarningFromJson(const nlohmann::json& json) {
  return OrProtocolError("not a warning", [&] {
    return Warning{.code = json.at("code"), .detail = json.at("detail")};
  });
}

nlohmann::json ToJson(const OutputFile& file) {
  nlohmann::json json = {{"output", file.output},
                         {"path", file.path},
                         {"bytes", file.bytes},
                         {"sha256", file.sha256},
                         {"media_type", file.media_type},
                         {"video", file.video},
                         {"audio", file.audio}};
  json["duration_seconds"] =
      file.duration_seconds ? nlohmann::json(*file.duration_seconds) : nlohmann::json();
  return json;
}

OutputFile OutputFileFromJson(const nlohmann::json& json) {
  OutputFile file = OrProtocolError("not an output file", [&] {
    OutputFile read;
    json.at("output").get_to(read.output);
    json.at("path").get_to(read.path);
    json.at("bytes").get_to(read.bytes);
    json.at("sha256").get_to(read.sha256);
    json.at("media_type").get_to(read.media_type);
    if (const auto& duration = json.at("duration_seconds"); !duration.is_null()) {
      read.duration_seconds = duration.get<double>();
    }
    read.video = json.at("video");
    read.audio = json.at("audio");
    return read;
  });
  CheckOutputPath(file.path);
  return file;
}

nlohmann::json ToJson(const Manifest& manifest) {
  nlohmann::json json = {{"files", nlohmann::json::array()},
                         {"warnings", nlohmann::json::array()},
                         {"media", manifest.media}};
  for (const OutputFile& file : manifest.files) json["files"].push_back(ToJson(file));
  for (const Warning& warning : manifest.warnings) json["warnings"].push_back(ToJson(warning));
  return json;
}

Manifest ManifestFromJson(const nlohmann::json& json) {
  return OrProtocolError("not a manifest", [&] {
    Manifest manifest;
    for (const auto& file : json.at("files")) manifest.files.push_back(OutputFileFromJson(file));
    for (const auto& item : json.at("warnings")) manifest.warnings.push_back(WarningFromJson(item));
    manifest.media = json.at("media");
    return manifest;
  });
}

nlohmann::json ToJson(const Progress& progress) {
  nlohmann::json outputs = nlohmann::json::array();
  for (const auto& [name, percent] : progress.outputs) {
    outputs.push_back({{"name", name}, {"percent", percent}});
  }
  nlohmann::json json = {{"percent", progress.percent}, {"phase", progress.phase},
                         {"frames", progress.frames},   {"fps", progress.fps},
                         {"speed", progress.speed},     {"media_seconds", progress.media_seconds},
                         {"outputs", outputs}};
  json["eta_seconds"] =
      progress.eta_seconds ? nlohmann::json(*progress.eta_seconds) : nlohmann::json();
  return json;
}

Progress ProgressFromJson(const nlohmann::json& json) {
  return OrProtocolError("not a progress report", [&] {
    Progress progress;
    progress.percent = std::clamp(json.at("percent").get<int>(), 0, 100);
    json.at("phase").get_to(progress.phase);
    json.at("frames").get_to(progress.frames);
    json.at("fps").get_to(progress.fps);
    json.at("speed").get_to(progress.speed);
    json.at("media_seconds").get_to(progress.media_seconds);
    if (const auto& eta = json.at("eta_seconds"); !eta.is_null()) {
      progress.eta_seconds = eta.get<double>();
    }
    for (const auto& output : json.at("outputs")) {
      progress.outputs.emplace_back(output.at("name"), output.at("percent"));
    }
    return progress;
  });
}

nlohmann::json ToJson(const ResourceUsage& usage) {
  nlohmann::json json = {{"peak_rss_bytes", usage.peak_rss_bytes},
                         {"cpu_seconds", usage.cpu_seconds}};
  if (usage.exit_status) json["exit_status"] = *usage.exit_status;
  if (usage.signal) json["signal"] = *usage.signal;
  return json;
}

ResourceUsage ResourceUsageFromJson(const nlohmann::json& json) {
  return OrProtocolError("not resource usage", [&] {
    ResourceUsage usage;
    usage.peak_rss_bytes = json.value("peak_rss_bytes", int64_t{0});
    usage.cpu_seconds = json.value("cpu_seconds", 0.0);
    if (json.contains("exit_status")) usage.exit_status = json["exit_status"].get<int>();
    if (json.contains("signal")) usage.signal = json["signal"].get<int>();
    return usage;
  });
}

nlohmann::json ToJson(const AttemptFailure& failure) {
  return {{"error", ToJson(failure.error)},
          {"usage", ToJson(failure.usage)},
          {"log_tail", failure.log_tail}};
}

AttemptFailure AttemptFailureFromJson(const nlohmann::json& json) {
  return OrProtocolError("not a failure report", [&] {
    return AttemptFailure{
        .error = ErrorFromJson(json.at("error")),
        .usage = ResourceUsageFromJson(json.value("usage", nlohmann::json::object())),
        .log_tail = json.value("log_tail", std::vector<std::string>{})};
  });
}

nlohmann::json ToJson(const Attempt& attempt) {
  nlohmann::json json = {
      {"task", attempt.task_id},     {"fence", attempt.fence},
      {"number", attempt.number},    {"generation", attempt.generation},
      {"worker", attempt.worker},    {"started_at", FormatTime(attempt.started_at)},
      {"outcome", attempt.outcome},  {"failure", attempt.failure},
      {"versions", attempt.versions}};
  json["finished_at"] =
      attempt.finished_at ? nlohmann::json(FormatTime(*attempt.finished_at)) : nlohmann::json();
  return json;
}

}  // namespace millrace
