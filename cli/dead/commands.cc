#include "cli/dead/commands.h"

#include <algorithm>
#include <filesystem>

#include "cli/base/exit_status.h"
#include "cli/base/json_text.h"
#include "cli/base/text.h"
#include "cli/client/download.h"
#include "cli/client/pages.h"
#include "cli/client/service.h"
#include "cli/dead/report.h"
#include "cli/show/print.h"
#include "cli/show/progress_display.h"
#include "cli/show/report.h"
#include "cli/show/terminal.h"
#include "core/base/clock.h"
#include "core/base/error.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

json GroupsOf(Service& service, const std::string& query) {
  return service.Get("/v1/dead-letters?group_by=signature" + query).at("groups");
}

int PrintGroups(const ClientOptions& client, const DeadListOptions& options, json groups) {
  const auto limit = static_cast<size_t>(options.limit);
  const bool more = groups.size() > limit;
  if (more) groups.erase(groups.begin() + options.limit, groups.end());
  if (client.json) {
    PrintJson({{"groups", groups}});
    return kExitOk;
  }
  Print(DeadGroupsTable(groups, ColumnsOf(stdout)));
  if (more) Tell("there are more; --limit shows them");
  return kExitOk;
}

// Prints whole lines, made printable.
class PrintableLines {
 public:
  void Add(std::span<const char> bytes) {
    text_.append(bytes.data(), bytes.size());
    for (size_t end = 0; (end = text_.find('\n')) != std::string::npos; text_.erase(0, end + 1)) {
      PrintLine(text_.substr(0, end));
    }
  }
  void Finish() {
    if (!text_.empty()) PrintLine(text_);
  }

 private:
  static void PrintLine(std::string line) {
    std::ranges::replace(line, '\t', ' ');
    Print(Printable(line) + "\n");
  }

  std::string text_;
};

// Returns the name of the uploaded file, made safe. Throws Error{kInvalidRequest} if a file of that
// name exists.
std::filesystem::path OwnNameOf(const json& letter) {
  const json& name = Member(letter, "input_name");
  std::filesystem::path target = name.is_string() ? SafeFileName(name.get<std::string>()) : "";
  if (target.empty()) target = "input";
  if (std::filesystem::exists(std::filesystem::symlink_status(target))) {
    throw Error(ErrorCode::kInvalidRequest,
                "there is a file " + target.string() +
                    " here already; name another: millrace dead input " +
                    letter.at("job").get<std::string>() + " FILE");
  }
  return target;
}

}  // namespace

int RunDeadList(const ClientOptions& client, const DeadListOptions& options) {
  Service service(client.url);
  const std::string query = "&state=" + PercentEncode(options.state) +
                            FilterQuery(FilterJson(options.filter, SystemClock().WallNow()));
  if (options.group) return PrintGroups(client, options, GroupsOf(service, query));
  const Listing letters =
      ListUpTo(options.limit, "dead_letters", [&](int page_size, const std::string& token) {
        return service.DeadLetters(query, page_size, token);
      });
  if (client.json) {
    PrintJson({{"dead_letters", letters.items}, {"next_page_token", letters.next_page_token}});
    return kExitOk;
  }
  Print(DeadLettersTable(letters.items, ColumnsOf(stdout)));
  if (!letters.next_page_token.empty()) {
    Tell("there are more; --limit shows them, --group counts them by kind");
  }
  return kExitOk;
}

int RunDeadShow(const ClientOptions& client, const std::string& job) {
  const json letter = Service(client.url).DeadLetter(job);
  if (client.json) {
    PrintJson(letter);
  } else {
    Print(DescribeDeadLetter(letter, LocalDeadLetter(job), ColumnsOf(stdout)));
  }
  return kExitOk;
}

int RunDeadLog(const ClientOptions& client, const std::string& job, std::optional<int64_t> fence) {
  const std::string path = DeadLetterPath(job) + "/log";
  Service service(client.url);
  PrintableLines lines;
  const bool is_terminal = IsTerminal(stdout);
  std::string all;  // for JSON
  service.Stream(fence ? path + "?fence=" + std::to_string(*fence) : path,
                 [&](std::span<const char> bytes) {
                   if (client.json) {
                     all.append(bytes.data(), bytes.size());
                   } else if (is_terminal) {
                     lines.Add(bytes);
                   } else {
                     Print({bytes.data(), bytes.size()});
                   }
                 });
  lines.Finish();
  if (client.json) PrintJson({{"log", all}});
  return kExitOk;
}

int RunDeadFetch(const ClientOptions& client, const std::string& job, const std::string& folder) {
  Service service(client.url);
  const json letter = service.DeadLetter(job);
  ProgressDisplay display(stderr, ProgressDisplay::KindFor(stderr), 1);
  const std::filesystem::path target = folder.empty() ? job : folder;
  const DeadLetterDownload got = DownloadDeadLetter(
      service, letter, target, [&display](const ProgressRow& row) { display.Update(0, row); });
  if (client.json) {
    json files = json::array();
    for (const auto& path : got.files) files.push_back(path.string());
    PrintJson({{"folder", target.string()}, {"files", files}, {"input", got.has_input}});
    return kExitOk;
  }
  for (const auto& path : got.files) PrintPath(path);
  if (!got.has_input) Tell("the input is gone; repro.sh needs it as its argument");
  return kExitOk;
}

int RunDeadInput(const ClientOptions& client, const std::string& job, const std::string& file) {
  Service service(client.url);
  const std::string path = DeadLetterPath(job) + "/input";
  if (file == "-") {
    if (client.json) {
      throw Error(ErrorCode::kInvalidRequest, "--json and the file cannot both be printed");
    }
    service.Stream(path, [](std::span<const char> bytes) { Print({bytes.data(), bytes.size()}); });
    return kExitOk;
  }
  const std::filesystem::path target =
      file.empty() ? OwnNameOf(service.DeadLetter(job)) : std::filesystem::path(file);
  ProgressDisplay display(stderr, ProgressDisplay::KindFor(stderr), 1);
  // Replace only a file that the user has named.
  service.Fetch(
      path, target,
      {.replace = !file.empty(), .progress = [&](int64_t done, std::optional<int64_t> total) {
         if (total.value_or(0) < kWorthABar) return;
         display.Update(0, DownloadRow(target.filename().string(), done, total));
       }});
  if (client.json) {
    PrintJson({{"path", target.string()}});
  } else {
    PrintPath(target);
  }
  return kExitOk;
}

}  // namespace millrace::cli
