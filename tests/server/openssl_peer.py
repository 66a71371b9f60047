#!/usr/bin/env python3
"""openssl_peer.py DIR: a peer of tests/port/test_tls.c like tls_peer, on another TLS library (Python's, which is OpenSSL).

Certificates and keys are DIR/good.pem and DIR/rsa.pem, of tls_peer's making. Prints "ready PORT"; serves one connection after the
other until its standard input ends. The line that begins a connection is "VERSION CERTIFICATE", VERSION 12, 13 or any.
"""
import os, socket, ssl, sys, threading


def context(folder, version, kind):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(os.path.join(folder, kind + ".pem"))
    made.set_alpn_protocols(["h2", "http/1.1"])
    if version == "12":
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    if version == "13":
        made.minimum_version = ssl.TLSVersion.TLSv1_3
    return made


def line(connection):
    text = b""
    while not text.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return ["", ""]
        text += byte
    return text.decode().split()


def serve(folder, listener):
    contexts = {}
    while True:
        connection, _ = listener.accept()
        connection.settimeout(20)
        key = tuple(line(connection))
        if key == ("", ""):
            continue
        if key not in contexts:
            contexts[key] = context(folder, *key)
        try:
            with contexts[key].wrap_socket(connection, server_side=True) as secured:
                while True:
                    data = secured.recv(16384)
                    if not data:
                        break
                    secured.sendall((secured.selected_alpn_protocol() or "-").encode() if data == b"?alpn" else data)
        except OSError:  # the client has its reasons
            connection.close()


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=serve, args=(sys.argv[1], listener), daemon=True).start()
    print("ready", listener.getsockname()[1], flush=True)
    sys.stdin.read()


main()
