#include "broker/verify/verify.h"

#include <sqlite3.h>

#include <functional>

#include "broker/ledger/sqlite/ledger_schema.h"
#include "broker/ledger/sqlite/sqlite_statement.h"
#include "broker/verify/events.h"
#include "broker/verify/jobs.h"
#include "broker/verify/ledger_file.h"
#include "broker/verify/media.h"

namespace millrace::broker {
namespace {

// Limits the wait of a read for a broker that is recovering its write-ahead log.
constexpr int kBusyMilliseconds = 10'000;

[[noreturn]] void Refuse(const std::string& detail) {
  throw Error(ErrorCode::kInvalidRequest, detail);
}

bool IsDamage(const SQLite::Exception& error) {
  const int code = error.getErrorCode() & 0xff;
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

// Runs the checks. If damage stops one of them, reports that and runs the others.
class Checks {
 public:
  Checks(SQLite::Database& database, const std::filesystem::path& file, Findings& findings)
      : database_(database), file_(file), findings_(findings) {}

  void Run(const std::string& check, const std::function<void()>& body) {
    try {
      body();
    } catch (const SQLite::Exception& error) {
      if (!IsDamage(error)) throw TranslateSqliteError(error, &database_, file_);
      findings_.Add(check, file_.string(),
                    std::string("the check stopped here, the file is damaged: ") + error.what());
    }
  }

 private:
  SQLite::Database& database_;
  const std::filesystem::path& file_;
  Findings& findings_;
};

void CheckVersion(SQLite::Database& database, const std::filesystem::path& file) {
  if (database.execAndGet("PRAGMA application_id").getInt() != kLedgerApplicationId) {
    Refuse(file.string() + " is not a ledger of Millrace");
  }
  const int version = database.execAndGet("PRAGMA user_version").getInt();
  if (version == LedgerSchemaVersion()) return;
  Refuse("the ledger " + file.string() + " has schema version " + std::to_string(version) +
         ", this build checks version " + std::to_string(LedgerSchemaVersion()) +
         (version < LedgerSchemaVersion() ? ": start a broker of this build once, it brings the "
                                            "ledger up to date"
                                          : ": use the newer build that wrote it"));
}

void RunChecks(SQLite::Database& database, const std::filesystem::path& data_dir,
               const std::filesystem::path& file, Findings& findings) {
  Checks checks(database, file, findings);
  checks.Run("ledger_file", [&] { CheckLedgerFile(database, file, findings); });
  {
    // Read all rows as of one moment, even if a broker commits meanwhile.
    SQLite::Transaction moment(database);
    checks.Run("sequence", [&] { CheckSequence(database, findings); });
    checks.Run("events", [&] { CheckEvents(database, findings); });
    checks.Run("jobs", [&] { CheckJobs(database, findings); });
    checks.Run("fences", [&] { CheckFences(database, findings); });
  }
  // Hash outside the transaction: hashing takes long, and an open transaction would make the
  // broker's write-ahead log grow.
  checks.Run("media", [&] { CheckMedia(database, data_dir, findings); });
}

}  // namespace

Findings VerifyDataFolder(const std::filesystem::path& data_dir) {
  const std::filesystem::path file = data_dir / "ledger.db";
  if (!std::filesystem::exists(file)) {
    Refuse("there is no ledger " + file.string() + ": name the service's folder with --data-dir");
  }
  Findings findings;
  std::optional<SQLite::Database> database;
  try {
    database.emplace(file, SQLite::OPEN_READONLY, kBusyMilliseconds);
    CheckVersion(*database, file);
    RunChecks(*database, data_dir, file, findings);
  } catch (const SQLite::Exception& error) {
    if (!IsDamage(error)) {
      throw TranslateSqliteError(error, database ? &*database : nullptr, file);
    }
    findings.Add("ledger_file", file.string(), error.what());
  }
  return findings;
}

void PrintFindings(const Findings& findings, std::ostream& out) {
  for (const Finding& finding : findings.kept()) {
    out << finding.check << ": " << (finding.subject.empty() ? "" : finding.subject + ": ")
        << finding.detail << "\n";
  }
  const auto more = findings.total() - static_cast<int64_t>(findings.kept().size());
  if (more > 0) out << "and " << more << " more\n";
  std::string looked_at;
  for (const auto& [what, count] : findings.looked_at()) {
    looked_at += (looked_at.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  }
  if (findings.total() == 0) {
    out << "all is well";
  } else {
    out << findings.total() << (findings.total() == 1 ? " thing is wrong" : " things are wrong");
  }
  out << " (looked at " << (looked_at.empty() ? "nothing" : looked_at) << ")\n";
}

nlohmann::json ToJson(const Findings& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const Finding& finding : findings.kept()) {
    list.push_back(
        {{"check", finding.check}, {"subject", finding.subject}, {"detail", finding.detail}});
  }
  return {{"ok", findings.total() == 0},
          {"findings", std::move(list)},
          {"findings_total", findings.total()},
          {"looked_at", findings.looked_at()}};
}

}  // namespace millrace::broker
