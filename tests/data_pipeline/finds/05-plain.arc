http://5.example/ 1>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p><p>text</p>
http://5.example/ 192.0.2.1 20140216050221 text/html -1
HTTP/1.1 200 OK
Content-Type: text/html

<p>text</p><p>text</p><p>text</p><p>text</p><p>text</p>
p><p>text</p><p>text</p>
