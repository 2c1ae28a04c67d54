// ClickHouse's engine (chdb) behind as much of the HTTP interface as its drivers need: hello, SELECT with bound
// parameters, INSERT with a Native body, ClickHouse's own error codes. One query runs at a time. For tests only.
//
//   node server.mjs DIRECTORY PORT [PASSWORD]      prints "listening PORT"; PORT 0 takes a free one
//
// POST /lab/fault {"delay_ms": 30000} or {"code": 243, "message": "…"} makes every later query slow or fail; {} ends it.
import { createServer } from 'node:http';
import { writeFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Session } from 'chdb';

const [directory, port, password = ''] = process.argv.slice(2);
const session = new Session(join(directory, 'data'));
let fault = {};
let serial = 0;
let turn = Promise.resolve();

// alone runs f when every earlier one is done: chdb has one connection.
function alone(f) {
  const mine = turn.then(f, f);
  turn = mine.catch(() => {});
  return mine;
}

class Refusal extends Error {
  constructor(code, name, message, status = 500) {
    super(`Code: ${code}. DB::Exception: ${message}. (${name})`);
    Object.assign(this, { code, status });
  }
}

// hello answers the driver's first question with a block in the client's protocol revision, and revision 0 in it, so
// that it reads plain Native, which is all that FORMAT Native gives, from then on.
function hello(version, zone) {
  const str = (s) => { const b = Buffer.from(s); return Buffer.concat([Buffer.from([b.length]), b]); };
  const column = (name, type, value) => Buffer.concat([str(name), str(type), Buffer.from([0]), value]);
  return Buffer.concat([
    Buffer.from([1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 4, 1]), // block info, 4 columns, 1 row
    column('displayName()', 'String', str('lab')), column('version()', 'String', str(version)),
    column('revision()', 'UInt32', Buffer.alloc(4)), column('timezone()', 'String', str(zone)),
  ]);
}

const reserved = new Set(['database', 'default_format', 'query', 'query_id', 'client_protocol_version', 'session_id', 'compress', 'decompress', 'enable_http_compression', 'quota_key', 'wait_end_of_query', 'user', 'password']);
const quoted = (s) => "'" + s.replace(/\\/g, '\\\\').replace(/'/g, "\\'") + "'";
const name = (s) => '`' + s.replace(/[`\\]/g, '\\$&') + '`';

async function run(url, body) {
  const args = url.searchParams;
  const sql = (args.get('query') ?? body.toString()).trim().replace(/;\s*$/, '');
  if (/^SELECT displayName\(\), version\(\), revision\(\), timezone\(\)/i.test(sql)) {
    const [version, zone] = (await session.queryAsync('SELECT version(), timezone()', { format: 'TSV' })).text().trim().split('\t');
    return { bytes: args.has('client_protocol_version') ? hello(version, zone) : Buffer.from(`lab\t${version}\t0\t${zone}\n`), rows: 0 };
  }
  const params = {}, settings = [];
  for (const [key, value] of args) {
    if (key.startsWith('param_')) params[key.slice(6)] = value;
    else if (!reserved.has(key) && /^[a-z_0-9]+$/.test(key)) settings.push([key, value]);
  }
  if (settings.some(([key, value]) => key === 'readonly' && value !== '0') && !/^(SELECT|WITH|SHOW|DESC|DESCRIBE|EXPLAIN|EXISTS)\b/i.test(sql.replace(/^(\s*--.*\n|\s+)+/, ''))) {
    throw new Refusal(164, 'READONLY', 'lab: Cannot execute query in readonly mode');
  }
  const set = settings.filter(([key]) => key !== 'readonly'); // in an embedded engine it would forbid what follows too
  await session.queryAsync('USE ' + name(args.get('database') || 'default'));
  if (set.length) await session.queryAsync('SET ' + set.map(([k, v]) => `${k} = ${/^-?\d+(\.\d+)?$/.test(v) ? v : quoted(v)}`).join(', '));
  try {
    const insert = args.has('query') && body.length ? sql.match(/^INSERT\s+INTO\s+([\s\S]+?)\s+(?:FORMAT\s+Native|VALUES)\s*$/i) : null;
    if (insert) {
      const file = join(directory, `insert-${serial++}.native`);
      await writeFile(file, body);
      try {
        const columns = insert[1].match(/\(([\s\S]*)\)\s*$/);
        await session.queryAsync(`INSERT INTO ${insert[1]} SELECT ${columns ? columns[1] : '*'} FROM file(${quoted(file)}, 'Native')`);
      } finally {
        await unlink(file);
      }
      return { bytes: Buffer.alloc(0), rows: 0 };
    }
    const format = args.get('default_format') || 'TabSeparated';
    const result = Object.keys(params).length ? await session.queryBindAsync(sql, params, { format }) : await session.queryAsync(sql, { format });
    return { bytes: Buffer.from(result.bytes()), rows: result.rowsRead };
  } finally {
    if (set.length) await session.queryAsync('SET ' + set.map(([k]) => `${k} = DEFAULT`).join(', '));
  }
}

const server = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const url = new URL(request.url, 'http://lab');
  const fail = (error) => {
    const code = error.code && Number.isInteger(error.code) ? error.code : Number(/Code: (\d+)/.exec(error.message)?.[1] ?? 1002);
    const status = error.status ?? ({ 516: 403, 60: 404, 81: 404, 62: 400, 47: 404 }[code] ?? 500);
    response.writeHead(status, { 'Content-Type': 'text/plain', 'X-ClickHouse-Exception-Code': String(code) }).end(error.message + '\n');
  };
  if (url.pathname === '/ping') return response.end('Ok.\n');
  if (url.pathname === '/lab/fault') {
    fault = JSON.parse(body.toString() || '{}');
    return response.end('Ok.\n');
  }
  const basic = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString();
  const given = request.headers['x-clickhouse-key'] ?? (basic.includes(':') ? basic.slice(basic.indexOf(':') + 1) : url.searchParams.get('password') ?? '');
  if (given !== password) return fail(new Refusal(516, 'AUTHENTICATION_FAILED', 'default: Authentication failed: password is incorrect, or there is no user with such name', 403));
  try {
    if (fault.delay_ms) await new Promise((done) => setTimeout(done, fault.delay_ms));
    if (fault.code) throw new Refusal(fault.code, 'LAB', fault.message ?? 'as the test asked');
    const { bytes, rows } = await alone(() => run(url, body));
    response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': bytes.length, 'X-ClickHouse-Summary': JSON.stringify({ read_rows: String(rows ?? 0) }) }).end(bytes);
  } catch (error) {
    fail(error);
  }
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '127.0.0.1', () => console.log('listening ' + server.address().port));
process.on('SIGTERM', () => process.exit(0));
