// GET /metrics of the bridge.
#include <algorithm>
#include <cstdio>

#include "bridge/bridge.h"
#include "daemon/exposition.h"

namespace sio::bridge {

namespace {

std::string label(std::string_view name, std::string_view value) {
    std::string text = "{";
    text.append(name).append("=\"").append(value).append("\"}");  // our own words, or topics, which need no escapes
    return text;
}

std::string labels_of(const PartitionView& view) {
    std::string text = "{topic=\"";
    text.append(view.topic).append("\",partition=\"").append(std::to_string(view.number)).append("\"}");
    return text;
}

}  // namespace

std::string Bridge::metrics_text() {
    daemon::Exposition out;
    out.gauge("sio_bridge_kafka_connected", "Whether brokers can be reached by the addresses that they advertise.",
              probe_->is_reachable() ? 1 : 0);
    const std::string& unreachable = probe_->unreachable();
    out.gauge("sio_bridge_kafka_brokers_unreachable", "Brokers that are there and that we cannot reach.",
              unreachable.empty() ? 0 : 1 + static_cast<double>(std::ranges::count(unreachable, ',')));
    out.gauge("sio_bridge_redis_connected", "Whether Redis answers.", commands_.is_up() ? 1 : 0);
    out.counter("sio_bridge_redis_refused_total", "Commands that Redis refused, for want of a right or another reason.",
                commands_.stats().refused + (outlet_ != nullptr ? outlet_->reader().stats().refused : 0));
    if (inlet_ != nullptr) {
        const InletStats& in = inlet_->stats();
        out.counter("sio_bridge_consumed_total", "Records read from Kafka.", in.consumed);
        out.counter("sio_bridge_consumed_bytes_total", "Bytes of their keys and values.", in.consumed_bytes);
        out.counter("sio_bridge_emitted_total", "Entries put on the stream of the cluster.", in.emitted);
        out.counter("sio_bridge_records_written_total", "Records that became entries.", in.written);
        out.counter("sio_bridge_records_ignored_total", "Records that the routes do nothing with.", in.nothing);
        out.counter("sio_bridge_records_repeated_total", "Records that were on the stream already.", in.repeats);
        out.family("sio_bridge_dead_letters_total", "counter", "Records that could not become entries, by reason.");
        for (std::size_t i = 0; i < poison_kinds; ++i) {
            out.sample("sio_bridge_dead_letters_total", static_cast<double>(in.dead[i]),
                       label("reason", to_string(static_cast<Poison>(i))));
        }
        out.gauge("sio_bridge_dead_letters_waiting", "Dead letters that Kafka does not have yet.",
                  static_cast<double>(dead_letters_->waiting()));
        out.counter("sio_bridge_dead_letter_retries_total", "Dead letters that Kafka would not take at once.",
                    dead_letters_->stats().retries);
        out.counter("sio_bridge_batches_total", "Batches sent to Redis.", in.batches);
        out.counter("sio_bridge_batches_again_total", "Batches sent again because it was in doubt.", in.batches_again);
        out.counter("sio_bridge_fenced_total", "Batches refused because another bridge had the partition.", in.fenced);
        out.counter("sio_bridge_rebalances_total", "Times the group said what is ours.", in.rebalances);
        out.counter("sio_bridge_consumer_restarts_total", "Times the consumer was made anew.", in.restarts);
        out.counter("sio_bridge_pauses_total", "Times reading stopped because too much was in flight.", in.pauses);
        out.counter("sio_bridge_logs_anew_total", "Partitions whose log began again.", in.anew);
        out.counter("sio_bridge_stream_entries_dropped_total", "Entries that this bridge had Redis drop at a bound.",
                    in.dropped);
        out.counter("sio_bridge_records_lost_total", "Records deleted from a topic before they were read.", in.lost);
        out.gauge("sio_bridge_topics_denied", "Topics of the routes that we may not read.",
                  static_cast<double>(inlet_->denied_topics()));
        out.gauge("sio_bridge_in_flight_bytes", "Read from Kafka and not in Redis yet.",
                  static_cast<double>(inlet_->bytes_in_flight()));
        const auto partitions = inlet_->partitions();
        out.gauge("sio_bridge_partitions", "Partitions that are ours.", static_cast<double>(partitions.size()));
        out.family("sio_bridge_lag", "gauge", "Records of a partition that are not on the stream yet.");
        for (const PartitionView& view : partitions) {
            if (view.lag >= 0) out.sample("sio_bridge_lag", static_cast<double>(view.lag), labels_of(view));
        }
        out.family("sio_bridge_next_offset", "gauge", "The offset that is to be read next, as Redis has it.");
        for (const PartitionView& view : partitions) {
            if (view.next >= 0) out.sample("sio_bridge_next_offset", static_cast<double>(view.next), labels_of(view));
        }
        out.family("sio_bridge_latency_seconds", "histogram", "From a record's timestamp to the stream.");
        const Histogram& latency = inlet_->latency();
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < latency.counts().size(); ++i) {
            sum += latency.counts()[i];
            char bound[32] = "+Inf";
            if (i < Histogram::bounds.size()) {
                std::snprintf(bound, sizeof bound, "%g", static_cast<double>(Histogram::bounds[i]) / 1000.0);
            }
            out.sample("sio_bridge_latency_seconds_bucket", static_cast<double>(sum), label("le", bound));
        }
        out.sample("sio_bridge_latency_seconds_sum", static_cast<double>(latency.sum()) / 1000.0);
        out.sample("sio_bridge_latency_seconds_count", static_cast<double>(sum));
    }
    if (outlet_ != nullptr) {
        const OutletStats& events = outlet_->stats();
        out.gauge("sio_bridge_leads", "Whether this bridge carries events to Kafka.", outlet_->is_leader() ? 1 : 0);
        out.counter("sio_bridge_leases_total", "Times this bridge began to carry events.", events.leases);
        out.counter("sio_bridge_events_read_total", "Entries read from the stream of events.", events.read);
        out.counter("sio_bridge_produced_total", "Events that Kafka has.", events.produced);
        out.counter("sio_bridge_events_taken_over_total", "Entries read before and not acknowledged.",
                    events.taken_over);
        out.counter("sio_bridge_events_passed_total", "Entries that need no record.", events.passed);
        out.counter("sio_bridge_events_malformed_total", "Entries that make no sense.", events.malformed);
        out.counter("sio_bridge_produce_failures_total", "Events that Kafka would not take; tried again.",
                    events.failed);
        out.counter("sio_bridge_events_refused_total", "Events that Kafka will not have; dead letters.",
                    events.refused);
        out.gauge("sio_bridge_topics_refused", "Topics for events that are not there or that we may not write.",
                  static_cast<double>(outlet_->refused_topics()));
        out.counter("sio_bridge_events_trimmed_total", "Entries that were trimmed before they were carried.",
                    events.trimmed);
        out.gauge("sio_bridge_events_open", "Events given to Kafka and not reported yet.",
                  static_cast<double>(outlet_->open()));
    }
    const kafka::Producer::Stats& producer = producer_->stats();
    out.counter("sio_bridge_producer_records_total", "Records that Kafka has, dead letters and sioctl's among them.",
                producer.produced);
    out.counter("sio_bridge_producer_failures_total", "Records that Kafka refused.", producer.failed);
    out.counter("sio_bridge_producer_made_anew_total", "Times the producer had become useless.", producer.recreated);
    out.gauge("sio_bridge_producer_refused", "Whether Kafka will not have us as a producer.",
              producer_->trouble().empty() ? 0 : 1);
    out.gauge("sio_bridge_loop_longest_turn_seconds", "The longest anything has waited for the event loop.",
              static_cast<double>(loop_.longest_turn()) / 1e6);
    out.counter("sio_bridge_loop_slow_turns_total", "Turns of the event loop that took 10 ms or more.",
                loop_.slow_turns());
    out.gauge("process_resident_memory_bytes", "Resident memory.", daemon::memory_in_use().resident);
    out.gauge("process_uptime_seconds", "Time since the start.", static_cast<double>(loop_.now() - started_) / 1000.0);
    return out.take();
}

}  // namespace sio::bridge
