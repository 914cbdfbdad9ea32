// A TLS server or client of Go's crypto/tls: one request and one answer a connection.
//
//	echo server ADDRESS CERTIFICATE KEY AUTHORITY|-
//	echo client ADDRESS 1.2|1.3 CERTIFICATE|- KEY|-
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"os"
)

func main() {
	if os.Args[1] == "server" {
		serve(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	}
	ask(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
}

func serve(address, certificate, key, authority string) {
	config := &tls.Config{Certificates: []tls.Certificate{load(certificate, key)}}
	if authority != "-" {
		text, err := os.ReadFile(authority)
		must(err)
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(text)
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	listener, err := tls.Listen("tcp", address, config)
	must(err)
	for {
		connection, err := listener.Accept()
		must(err)
		go answer(connection)
	}
}

func answer(connection net.Conn) {
	defer connection.Close()
	if _, err := bufio.NewReader(connection).ReadString('\n'); err == nil {
		connection.Write([]byte("answer\n"))
	}
}

// The second connection resumes the session of the first.
func ask(address, version, certificate, key string) {
	config := &tls.Config{
		InsecureSkipVerify: true,
		ClientSessionCache: tls.NewLRUClientSessionCache(7),
		MinVersion:         tls.VersionTLS12,
		MaxVersion:         tls.VersionTLS12,
	}
	if version == "1.3" {
		config.MinVersion, config.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	}
	if certificate != "-" {
		config.Certificates = []tls.Certificate{load(certificate, key)}
	}
	for i := 0; i < 2; i++ {
		connection, err := tls.Dial("tcp", address, config)
		must(err)
		_, err = connection.Write([]byte("GET / HTTP/1.0\n"))
		must(err)
		_, err = io.ReadAll(connection)
		must(err)
		connection.Close()
	}
}

func load(certificate, key string) tls.Certificate {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	must(err)
	return pair
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
