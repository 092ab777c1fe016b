#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/http_server/responder.h"
#include "api/link/broker_client.h"
#include "api/live/rereading.h"
#include "core/base/clock.h"

namespace millrace::api {

struct EventFeedOptions {
  // Pause between two reads of followed jobs of which nothing was announced: `slice` jobs each
  // time, in turn.
  std::chrono::milliseconds reread{2'000};
  // The same once announcements may have been missed, until all have been read.
  std::chrono::milliseconds catch_up{100};
  // No more than this are being read meanwhile.
  size_t slice = 200;
  // A stream that has said nothing for this long says that it is there (looked at every `reread`).
  std::chrono::milliseconds heartbeat{15'000};
  // Half of the connections that the HTTP server takes: the rest is for everybody else.
  size_t max_streams = 10'000;
};

// The event streams of jobs (text/event-stream), without a thread each.
//
// Clients are told what stands in the broker's ledger, and nothing else: an announcement only means
// that it is time to read on behind the last event that the client has. So a lost, doubled or early
// announcement, or a restart of the broker, can neither make a gap nor repeat an event. Progress is
// in no ledger and is passed on as it is published, never in front of a transition that was
// published before it.
//
// A lost announcement is made up for at once where that shows: by a number that was left out, a new
// connection, a broker that did not answer. The last one of all may be lost without a trace, and is
// found when its job's turn comes: after `reread` times the number of slices.
//
// The streams of one job share their reads, which begin behind the stream that is furthest behind.
// A client that reads too slowly is left alone until the next `reread`; it then goes on from where
// it was, and costs no memory meanwhile.
//
// Owned by the Api; it must outlive the BrokerClient's thread. All methods may be called from any
// thread; the rest happens on the link thread.
class EventFeed {
 public:
  // `broker` and `clock` outlive the feed's use.
  EventFeed(BrokerClient& broker, EventFeedOptions options, const Clock& clock);
  ~EventFeed();
  EventFeed(const EventFeed&) = delete;
  EventFeed& operator=(const EventFeed&) = delete;

  // Answers with the events of the job behind the sequence number `after`, and with each that is
  // yet to come until the job has ended; with 204 if it has ended and there are none behind
  // `after`; with the broker's error if the first read fails.
  void Follow(http::ResponderPtr responder, std::string job_id, int64_t after);
  // Ends all streams properly, so that their clients connect to another server. Later ones end
  // with what has happened so far.
  void EndAll();

 private:
  struct Stream;
  struct Page;
  // A job that somebody follows.
  struct Followed {
    std::vector<std::shared_ptr<Stream>> streams;
    bool reading = false;
    bool changed_meanwhile = false;
    std::string progress;  // the newest, as it is to be sent; empty: it was sent
  };

  void Join(const std::shared_ptr<Stream>& stream);
  void Forget(const std::weak_ptr<Stream>& gone);
  void OnEvent(const BrokerEvent& event);
  void OnProgress(const message::ProgressEvent& progress);
  void Read(const std::string& job_id);
  void OnRead(const std::string& job_id, int64_t after, const BrokerReply& reply);
  void Deliver(Stream& stream, const Page& page) const;
  static void SendProgress(Followed& job);
  // Lets go of the streams that are over; returns whether somebody still follows the job.
  bool Sweep(const std::string& job_id);
  void PlanRound();
  void Round();
  void PlanToCatchUp();
  void PlanNextSlice();
  void ReadSlice();

  BrokerClient& broker_;
  const EventFeedOptions options_;
  const Clock& clock_;
  // Owned by the link thread.
  std::unordered_map<std::string, Followed> jobs_;
  size_t stream_count_ = 0;
  size_t reads_ = 0;  // under way
  Rereading rereading_;
  bool round_planned_ = false;
  bool slice_planned_ = false;
  bool ending_ = false;
};

}  // namespace millrace::api
