#include "cluster/names.h"

#include <criterion/criterion.h>

#include <string>
#include <vector>

#include "cluster/js_date.h"
#include "unit/cluster/golden.h"

using namespace sio;

Test(cluster_names, channels_are_those_of_node) {
    cr_expect(cluster::public_channel("socket.io", "/") == "socket.io#/#");
    cr_expect(cluster::public_channel("socket.io", "/custom") == "socket.io#/custom#");
    cr_expect(cluster::private_channel("socket.io", "/", "710f65ae4c7f8b9e") == "socket.io#/#710f65ae4c7f8b9e#");
    cr_expect(cluster::classic_pattern("socket.io", "/chat") == "socket.io#/chat#*");
    cr_expect(cluster::classic_request_channel("socket.io", "/") == "socket.io-request#/#");
    cr_expect(cluster::classic_request_pattern("socket.io", "/") == "socket.io-request#/#");
}

Test(cluster_names, a_pattern_takes_the_name_literally) {
    cr_expect(cluster::classic_pattern("p", "/a*[b]?\\") == "p#/a\\*\\[b\\]\\?\\\\#*");
    cr_expect(cluster::classic_request_pattern("p", "/*") == "p-request#/\\*#");
}

Test(cluster_names, a_namespace_hashes_as_in_javascript) {
    for (const auto& [nsp, hash] : golden::hashes) {
        cr_expect(cluster::namespace_hash(nsp) == hash, "%s: %d", std::string{nsp}.c_str(),
                  cluster::namespace_hash(nsp));
    }
}

Test(cluster_names, a_namespace_is_written_where_node_writes_it_even_to_a_negative_stream) {
    for (const auto& [nsp, count, stream] : golden::streams) {
        cr_expect(cluster::stream_for("s", count, nsp) == stream, "%s", std::string{nsp}.c_str());
    }
    cr_expect(cluster::stream_for("socket.io", 4, "/my-namespace") == "socket.io--3");
}

Test(cluster_names, every_stream_that_can_be_written_to_is_read) {
    cr_expect(cluster::streams_to_read("s", 1) == (std::vector<std::string>{"s"}));
    cr_expect(cluster::streams_to_read("s", 3) == (std::vector<std::string>{"s-0", "s-1", "s-2", "s--1", "s--2"}));
}

Test(cluster_names, a_date_reads_as_in_javascript) {
    for (const auto& [ms, text] : golden::dates) {
        std::string out;
        cluster::append_date_text(out, ms);
        cr_expect(out == text, "%s", out.c_str());
    }
}
