// Connects as a device that runs wolfSSL: TLS of one version, MQTT 3.1.1 CONNECT, CONNACK, PINGREQ, PINGRESP.
// Usage: wolfssl_client PORT ROOT CERTIFICATE KEY VERSION (12 or 13). Prints one line; 0 where all of it worked.

#include <wolfssl/options.h>
#include <wolfssl/ssl.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int fail(WOLFSSL *session, const char *step, int result)
{
    char text[WOLFSSL_MAX_ERROR_SZ];
    int error = wolfSSL_get_error(session, result);
    printf("%s: error %d, %s\n", step, error, wolfSSL_ERR_error_string(error, text));
    return 1;
}

static int exchange(WOLFSSL *session, const char *step, const unsigned char *packet, int size, unsigned char *answer,
                    int expected)
{
    int result = wolfSSL_write(session, packet, size);
    if (result != size)
        return fail(session, step, result);
    for (int count = 0; count < expected; count += result) {
        result = wolfSSL_read(session, answer + count, expected - count);
        if (result <= 0)
            return fail(session, step, result);
    }
    return 0;
}

int main(int count, char **arguments)
{
    static const unsigned char connect_packet[] = {0x10, 16, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 4,
                                                   'w',  'o', 'l', 'f'};
    static const unsigned char ping_packet[] = {0xc0, 0};
    unsigned char connack[4], pingresp[2];
    if (count != 6)
        return 2;
    wolfSSL_Init();
    WOLFSSL_CTX *context =
        wolfSSL_CTX_new(strcmp(arguments[5], "12") ? wolfTLSv1_3_client_method() : wolfTLSv1_2_client_method());
    if (wolfSSL_CTX_load_verify_locations(context, arguments[2], NULL) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_certificate_chain_file(context, arguments[3]) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(context, arguments[4], SSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
        puts("the files cannot be used");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int socket_number = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(socket_number, (struct sockaddr *)&address, sizeof address)) {
        puts("nothing listens");
        return 2;
    }
    WOLFSSL *session = wolfSSL_new(context);
    wolfSSL_UseSNI(session, WOLFSSL_SNI_HOST_NAME, "localhost", strlen("localhost"));
    wolfSSL_check_domain_name(session, "localhost");
    wolfSSL_set_fd(session, socket_number);
    int result = wolfSSL_connect(session);
    if (result != WOLFSSL_SUCCESS)
        return fail(session, "handshake", result);
    if (exchange(session, "CONNECT", connect_packet, sizeof connect_packet, connack, sizeof connack) ||
        exchange(session, "PINGREQ", ping_packet, sizeof ping_packet, pingresp, sizeof pingresp))
        return 1;
    printf("%s CONNACK %d\n", wolfSSL_get_version(session), connack[3]);
    return connack[3];
}
