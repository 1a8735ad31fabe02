// A mail relay on this machine that takes everything: SMTP as far as a sender needs it.
import { createServer, type Server, type Socket } from 'node:net';

export class Relay {
  /** Whom mails were for, in their order. */
  readonly recipients: string[] = [];
  readonly texts: string[] = [];

  private constructor(private readonly server: Server) {}

  static async open(): Promise<Relay> {
    const server = createServer();
    const relay = new Relay(server);
    server.on('connection', (socket) => relay.talk(socket));
    await new Promise<void>((open) => server.listen(0, '127.0.0.1', open));
    return relay;
  }

  get address(): string {
    const address = this.server.address();
    if (!address || typeof address === 'string') throw new Error('the relay does not listen');
    return `smtp://127.0.0.1:${address.port}`;
  }

  async close(): Promise<void> {
    await new Promise((closed) => this.server.close(closed));
  }

  private talk(socket: Socket): void {
    let rest = '';
    let text: string[] | null = null;
    const say = (line: string) => socket.write(`${line}\r\n`);
    const hear = (line: string) => {
      if (text) {
        if (line !== '.') text.push(line);
        else {
          this.texts.push(text.join('\n'));
          text = null;
          say('250 taken');
        }
        return;
      }
      const word = line.slice(0, 4).toUpperCase();
      if (word === 'EHLO') say('250-here\r\n250 PIPELINING');
      else if (word === 'RCPT') {
        this.recipients.push(/<([^>]*)>/.exec(line)?.[1] ?? '');
        say('250 fine');
      } else if (word === 'DATA') {
        text = [];
        say('354 go on');
      } else if (word === 'QUIT') {
        say('221 bye');
        socket.end();
      } else say('250 fine');
    };
    socket.on('data', (chunk) => {
      const lines = (rest + chunk.toString()).split('\r\n');
      rest = lines.pop() ?? '';
      for (const line of lines) hear(line);
    });
    // A sender may hang up at any time.
    socket.on('error', () => socket.destroy());
    say('220 here');
  }
}
