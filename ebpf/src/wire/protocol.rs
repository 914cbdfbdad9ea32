//! Names of wire protocols: one a protocol, and TLS never a part of it.

use super::coded::coded;

coded! {
    /// What is spoken on a connection. Codes are part of the contract of kernel and agent.
    Protocol {
        /// Not known.
        Unknown = 0 "unknown",
        /// HTTP/1.0 and 1.1 (RFC 9112), and what is built on them.
        Http = 1 "http",
        /// HTTP/2 (RFC 9113). Users read it as `http` of version 2.
        Http2 = 2 "http2",
        /// TLS of which the inside is not known (RFC 8446).
        Tls = 3 "tls",
        /// DTLS (RFC 9147).
        Dtls = 4 "dtls",
        /// QUIC (RFC 9000).
        Quic = 5 "quic",
        /// SSH (RFC 4253).
        Ssh = 6 "ssh",
        /// DNS (RFC 1035).
        Dns = 7 "dns",
        /// WireGuard.
        Wireguard = 8 "wireguard",
        /// IKE (RFC 7296).
        Ike = 9 "ike",
        /// ESP in UDP (RFC 3948).
        EspInUdp = 10 "ipsec-nat-t",
        /// OpenVPN.
        Openvpn = 11 "openvpn",
        /// PostgreSQL's frontend/backend protocol 3.
        Postgresql = 12 "postgresql",
        /// MySQL's and MariaDB's.
        Mysql = 13 "mysql",
        /// SMTP (RFC 5321).
        Smtp = 14 "smtp",
        /// IMAP (RFC 9051).
        Imap = 15 "imap",
        /// POP3 (RFC 1939).
        Pop3 = 16 "pop3",
        /// FTP's control connection (RFC 959).
        Ftp = 17 "ftp",
        /// LDAP (RFC 4511).
        Ldap = 18 "ldap",
        /// XMPP (RFC 6120).
        Xmpp = 19 "xmpp",
        /// IRC (RFC 1459).
        Irc = 20 "irc",
        /// Remote Desktop (MS-RDPBCGR).
        Rdp = 21 "rdp",
        /// AMQP 0-9-1 and 1.0.
        Amqp = 22 "amqp",
        /// NATS.
        Nats = 23 "nats",
        /// Redis' serialisation protocol.
        Redis = 24 "redis",
        /// MongoDB.
        Mongodb = 25 "mongodb",
        /// Kafka.
        Kafka = 26 "kafka",
        /// MQTT.
        Mqtt = 27 "mqtt",
        /// Cassandra's native protocol.
        Cassandra = 28 "cassandra",
        /// memcached, text or binary.
        Memcached = 29 "memcached",
        /// SMB (MS-SMB2).
        Smb = 30 "smb",
        /// Sun RPC (RFC 5531), NFS included.
        Sunrpc = 31 "sunrpc",
        /// Kerberos (RFC 4120).
        Kerberos = 32 "kerberos",
        /// Microsoft SQL Server's tabular data stream (MS-TDS).
        Tds = 33 "tds",
        /// Oracle's TNS.
        OracleTns = 34 "oracle-tns",
        /// Apache Thrift.
        Thrift = 35 "thrift",
        /// Apache Dubbo.
        Dubbo = 36 "dubbo",
        /// ZMTP, ZeroMQ's.
        Zmtp = 37 "zmtp",
        /// OpenWire, ActiveMQ's.
        Openwire = 38 "openwire",
        /// STOMP.
        Stomp = 39 "stomp",
        /// Apache Pulsar.
        Pulsar = 40 "pulsar",
        /// Apache RocketMQ.
        Rocketmq = 41 "rocketmq",
        /// Apache bRPC.
        Brpc = 42 "brpc",
        /// FastCGI.
        Fastcgi = 43 "fastcgi",
        /// AJP 1.3.
        Ajp = 44 "ajp",
        /// Zabbix.
        Zabbix = 45 "zabbix",
        /// Elasticsearch's transport.
        Elasticsearch = 46 "elasticsearch",
        /// Ceph's messenger.
        Ceph = 47 "ceph",
        /// FIX.
        Fix = 48 "fix",
        /// RFB, VNC's (RFC 6143).
        Rfb = 49 "rfb",
        /// SOCKS 4 and 5 (RFC 1928).
        Socks = 50 "socks",
        /// BitTorrent.
        Bittorrent = 51 "bittorrent",
        /// Syslog (RFC 5424).
        Syslog = 52 "syslog",
        /// SNMP (RFC 3416).
        Snmp = 53 "snmp",
        /// STUN (RFC 8489).
        Stun = 54 "stun",
        /// ZooKeeper.
        Zookeeper = 55 "zookeeper",
        /// SIP (RFC 3261).
        Sip = 56 "sip",
        /// RTSP (RFC 7826).
        Rtsp = 57 "rtsp",
        /// RTP (RFC 3550).
        Rtp = 58 "rtp",
        /// NTP (RFC 5905).
        Ntp = 59 "ntp",
        /// DHCP (RFC 2131, RFC 8415).
        Dhcp = 60 "dhcp",
        /// RADIUS (RFC 2865).
        Radius = 61 "radius",
        /// Diameter (RFC 6733).
        Diameter = 62 "diameter",
        /// CoAP (RFC 7252).
        Coap = 63 "coap",
        /// TFTP (RFC 1350).
        Tftp = 64 "tftp",
        /// SSDP, UPnP's discovery.
        Ssdp = 65 "ssdp",
        /// BGP (RFC 4271).
        Bgp = 66 "bgp",
        /// Telnet (RFC 854).
        Telnet = 67 "telnet",
        /// git's own transport.
        Git = 68 "git",
        /// rsync's daemon.
        Rsync = 69 "rsync",
        /// DCE RPC (MS-RPCE).
        Dcerpc = 70 "dcerpc",
        /// FTP's data connection (RFC 959).
        FtpData = 71 "ftp-data",
        /// NetBIOS name service (RFC 1002).
        NetbiosNs = 72 "netbios-ns",
        /// NetBIOS datagrams (RFC 1002).
        NetbiosDgm = 73 "netbios-dgm",
        /// BitTorrent's hash table.
        BittorrentDht = 74 "bittorrent-dht",
        /// IEC 60870-5-104.
        Iec104 = 75 "iec104",
        /// DNP3.
        Dnp3 = 76 "dnp3",
        /// Modbus/TCP.
        Modbus = 77 "modbus",
        /// BACnet/IP.
        Bacnet = 78 "bacnet",
        /// Siemens S7.
        S7comm = 79 "s7comm",
        /// EtherNet/IP.
        Enip = 80 "enip",
        /// HTTP's CONNECT: a tunnel of which the inside is not known (RFC 9110, section 9.3.6).
        HttpConnect = 81 "http-connect",
        /// A WebSocket (RFC 6455).
        Websocket = 82 "websocket",
        /// gRPC over HTTP/2 in the clear.
        Grpc = 83 "grpc",
        /// multicast DNS (RFC 6762).
        Mdns = 84 "mdns",
        /// LLMNR (RFC 4795).
        Llmnr = 85 "llmnr",
        /// NFS (RFC 8881).
        Nfs = 86 "nfs",
        /// collectd's network plugin.
        Collectd = 87 "collectd",
        /// Dropbox' discovery in a local network.
        DbLspDisc = 88 "db-lsp-disc",
        /// QUIC before it was a standard, as Google spoke it.
        Gquic = 89 "gquic",
        /// NNTP (RFC 3977).
        Nntp = 90 "nntp",
        /// DRDA, IBM Db2's.
        Drda = 91 "drda",
        /// Gearman's job protocol.
        Gearman = 92 "gearman",
        /// GIOP, CORBA's.
        Giop = 93 "giop",
        /// HL7 over MLLP.
        Hl7 = 94 "hl7",
        /// OPC UA over TCP (OPC 10000-6).
        OpcUa = 95 "opc-ua",
        /// SMPP, of short message centres.
        Smpp = 96 "smpp",
        /// Tars, Tencent's remote calls.
        Tars = 97 "tars",
        /// whois (RFC 3912).
        Whois = 98 "whois",
        /// GTP, which mobile networks tunnel with (3GPP TS 29.060, 29.274 and 29.281).
        Gtp = 99 "gtp",
        /// PFCP, which steers those tunnels (3GPP TS 29.244).
        Pfcp = 100 "pfcp",
        /// NetFlow and IPFIX (RFC 3954, RFC 7011).
        Netflow = 101 "netflow",
        /// sFlow 5.
        Sflow = 102 "sflow",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_one_to_one() {
        for (i, protocol) in Protocol::ALL.iter().enumerate() {
            assert_eq!(*protocol as usize, i, "codes leave no gap");
            assert_eq!(Protocol::from_code(*protocol as u8), Some(*protocol));
            let is_same = |other: &&Protocol| other.name() == protocol.name();
            assert_eq!(Protocol::ALL.iter().filter(is_same).count(), 1, "{}", protocol.name());
        }
        assert_eq!(Protocol::from_code(Protocol::ALL.len() as u8), None);
    }
}
